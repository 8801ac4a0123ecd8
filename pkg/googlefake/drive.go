package googlefake

import (
	"cmp"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	videoType    = "video/mp4"
	documentType = "application/vnd.google-apps.document"
	filesPattern = "/drive/v3/files"
	filePattern  = filesPattern + "/{fileId}"
	blockSize    = 64 << 10 // of generated content
	shownSpeed   = 4 << 10  // bytes of a text a person reads of a document; see artifactFile
)

// driveFile is a file as it is kept. Its bytes are made from the seed whenever they are read.
type driveFile struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Type        string       `json:"type"`
	Owner       string       `json:"owner"`
	Size        int64        `json:"size"`
	Seed        uint64       `json:"seed"`
	Created     time.Time    `json:"created"`
	Duration    int64        `json:"duration,omitempty"` // milliseconds
	Text        string       `json:"text,omitempty"`     // of a document
	Trashed     bool         `json:"trashed,omitempty"`
	Deleted     bool         `json:"deleted,omitempty"`
	Lost        time.Time    `json:"lost,omitzero"`   // when it was trashed or deleted
	Copied      time.Time    `json:"copied,omitzero"` // when somebody had first read it to its end
	Permissions []Permission `json:"permissions,omitempty"`
}

// DriveFile is Drive's File resource, and so are the types that follow.
type DriveFile struct {
	Kind                         string              `json:"kind"`
	ID                           string              `json:"id"`
	Name                         string              `json:"name"`
	MimeType                     string              `json:"mimeType"`
	Size                         string              `json:"size,omitempty"`
	MD5Checksum                  string              `json:"md5Checksum,omitempty"`
	SHA1Checksum                 string              `json:"sha1Checksum,omitempty"`
	SHA256Checksum               string              `json:"sha256Checksum,omitempty"`
	CreatedTime                  string              `json:"createdTime,omitempty"`
	ModifiedTime                 string              `json:"modifiedTime,omitempty"`
	Trashed                      bool                `json:"trashed"`
	Owners                       []DriveUser         `json:"owners,omitempty"`
	HeadRevisionID               string              `json:"headRevisionId,omitempty"`
	Version                      string              `json:"version,omitempty"`
	WebViewLink                  string              `json:"webViewLink,omitempty"`
	VideoMediaMetadata           *VideoMediaMetadata `json:"videoMediaMetadata,omitempty"`
	Capabilities                 *FileCapabilities   `json:"capabilities,omitempty"`
	CopyRequiresWriterPermission bool                `json:"copyRequiresWriterPermission"`
	Permissions                  []Permission        `json:"permissions,omitempty"`
}

// DriveUser is a person in Drive.
type DriveUser struct {
	Kind         string `json:"kind"`
	DisplayName  string `json:"displayName"`
	EmailAddress string `json:"emailAddress"`
	Me           bool   `json:"me"`
}

// VideoMediaMetadata of a video.
type VideoMediaMetadata struct {
	Width          int64  `json:"width"`
	Height         int64  `json:"height"`
	DurationMillis string `json:"durationMillis"`
}

// FileCapabilities are what the caller may do.
type FileCapabilities struct {
	CanDownload bool `json:"canDownload"`
	CanShare    bool `json:"canShare"`
}

// Permission of a file.
type Permission struct {
	Kind         string `json:"kind,omitempty"`
	ID           string `json:"id,omitempty"`
	Type         string `json:"type,omitempty"`
	Role         string `json:"role,omitempty"`
	EmailAddress string `json:"emailAddress,omitempty"`
	Domain       string `json:"domain,omitempty"`
}

type fileList struct {
	Kind             string      `json:"kind"`
	IncompleteSearch bool        `json:"incompleteSearch"`
	NextPageToken    string      `json:"nextPageToken,omitempty"`
	Files            []DriveFile `json:"files"`
}

type permissionList struct {
	Kind          string       `json:"kind"`
	NextPageToken string       `json:"nextPageToken,omitempty"`
	Permissions   []Permission `json:"permissions"`
}

func driveRoutes() []*route {
	readers := calendarScopes("drive", "drive.appdata", "drive.file", "drive.meet.readonly", "drive.metadata", "drive.metadata.readonly",
		"drive.photos.readonly", "drive.readonly")
	const shared = "supportsAllDrives"
	routes := []*route{
		{
			id: "drive.files.get", method: http.MethodGet, pattern: filePattern, handle: (*Server).getFile, scopes: readers,
			params: []string{shared, "acknowledgeAbuse"}, rpc: "google.apps.drive.v3.DriveFiles.Get",
		},
		{
			id: "drive.files.list", method: http.MethodGet, pattern: filesPattern, handle: (*Server).listFiles,
			scopes: calendarScopes("drive", "drive.appdata", "drive.file", "drive.meet.readonly", "drive.metadata", "drive.metadata.readonly",
				"drive.photos.readonly", "drive.readonly"),
			params: []string{"q", "pageSize", "pageToken", "orderBy", shared}, rpc: "google.apps.drive.v3.DriveFiles.List",
		},
		{
			id: "drive.files.export", method: http.MethodGet, pattern: filePattern + "/export", handle: (*Server).exportFile,
			scopes: calendarScopes("drive", "drive.file", "drive.meet.readonly", "drive.readonly"),
			params: []string{"mimeType"}, rpc: "google.apps.drive.v3.DriveFiles.Export",
		},
		{
			id: "drive.permissions.create", method: http.MethodPost, pattern: filePattern + "/permissions", handle: (*Server).createPermission,
			scopes: calendarScopes("drive", "drive.file"),
			params: []string{"sendNotificationEmail", shared, "emailMessage"}, rpc: "google.apps.drive.v3.DrivePermissions.Create",
		},
		{
			id: "drive.permissions.list", method: http.MethodGet, pattern: filePattern + "/permissions", handle: (*Server).listPermissions,
			scopes: slices.DeleteFunc(slices.Clone(readers), func(scope string) bool { return strings.HasSuffix(scope, "drive.appdata") }),
			params: []string{"pageSize", "pageToken", shared}, rpc: "google.apps.drive.v3.DrivePermissions.List",
		},
	}
	for _, rt := range routes {
		rt.dialect, rt.service, rt.quota = classic, driveService, quotaDrive
	}
	return routes
}

// artifactFile is the file that a recording, transcript or notes end in.
func (s *Server) artifactFile(c *conference, a *artifact) *driveFile {
	title := a.Start.UTC().Format("2006-01-02 15:04 MST")
	if sp := s.store.spaces[c.Space]; sp != nil {
		title = sp.Code + " (" + title + ")"
	}
	f := &driveFile{ID: a.File, Owner: c.Owner, Created: a.Ready, Seed: seedOf(a.File), Permissions: []Permission{{
		ID: "1" + userID(c.Owner)[:19], Type: "user", Role: "owner", EmailAddress: c.Owner,
	}}}
	if a.Kind == recordingKind {
		f.Name, f.Type, f.Size, f.Duration = title+" - Recording.mp4", videoType, c.Plan.FileSize, a.End.Sub(a.Start).Milliseconds()
		return f
	}
	f.Name, f.Type = title+" - Transcript", documentType
	if a.Kind == notesKind {
		f.Name = title + " - Notes"
	}
	var text strings.Builder
	for _, e := range a.entries(c, a.End) {
		fmt.Fprintf(&text, "%s\t%s\n", e.StartTime, e.Text)
		if text.Len() > shownSpeed {
			break // Meet's own document may differ from the entries too
		}
	}
	f.Text = text.String()
	return f
}

func seedOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum64()
}

func (st *store) keepFile(f *driveFile) {
	old := st.files[f.ID]
	st.files[f.ID] = f
	if old == nil {
		st.filesOf[f.Owner] = append(st.filesOf[f.Owner], f.ID)
	}
}

// content reads a file's bytes from its seed: block n is the stream of a generator that is seeded
// with the file's seed and n, so that any part is there at once and none is kept.
type content struct {
	seed   uint64
	size   int64
	at     int64
	number int64
	block  []byte
}

func (c *content) Read(p []byte) (int, error) {
	if c.at >= c.size {
		return 0, io.EOF
	}
	number := c.at / blockSize
	if c.block == nil || c.number != number {
		if c.block == nil {
			c.block = make([]byte, blockSize)
		}
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], c.seed)
		binary.LittleEndian.PutUint64(seed[8:], uint64(number))
		_, _ = rand.NewChaCha8(seed).Read(c.block) // never fails
		c.number = number
	}
	n := copy(p, c.block[c.at%blockSize:])
	n = int(min(int64(n), c.size-c.at))
	c.at += int64(n)
	return n, nil
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	c.at = offset
	return offset, nil
}

// sums are a file's checksums in hex.
type sums struct{ md5, sha1, sha256 string }

// checksums remembers what it cost to compute.
type checksums struct {
	mu    sync.Mutex
	known map[string]sums // by seed and size
}

func (k *checksums) of(f *driveFile) sums {
	key := strconv.FormatUint(f.Seed, 36) + "/" + strconv.FormatInt(f.Size, 36)
	k.mu.Lock()
	defer k.mu.Unlock() // one at a time: whoever waits wants most likely the same file
	if have, ok := k.known[key]; ok {
		return have
	}
	m, s1, s256 := md5.New(), sha1.New(), sha256.New()
	_, _ = io.Copy(io.MultiWriter(m, s1, s256), &content{seed: f.Seed, size: f.Size})
	text := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	have := sums{text(m), text(s1), text(s256)}
	k.known[key] = have
	return have
}

// file finds a file that the caller may read. It takes the lock.
func (s *Server) file(c *call) (driveFile, *apiError) {
	id := c.r.PathValue("fileId")
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	f := st.files[id]
	if f == nil || f.Deleted || !f.readable(c.who.person()) {
		return driveFile{}, &apiError{
			status: http.StatusNotFound, reason: "notFound", message: "File not found: " + id + ".", location: "fileId", locationType: "parameter",
		}
	}
	return *f, nil
}

func (f *driveFile) readable(person string) bool {
	_, domain, _ := strings.Cut(person, "@")
	return slices.ContainsFunc(f.Permissions, func(p Permission) bool {
		return p.Type == "anyone" || p.EmailAddress == person || p.Type == "domain" && p.Domain == domain
	})
}

// resource is the file as the caller sees it; checksums are computed only when asked for.
func (s *Server) fileResource(f *driveFile, person string, fields string) DriveFile {
	out := DriveFile{
		Kind: "drive#file", ID: f.ID, Name: f.Name, MimeType: f.Type, Trashed: f.Trashed, HeadRevisionID: "r" + f.ID[:min(8, len(f.ID))], Version: "1",
		CreatedTime: f.Created.UTC().Format(timestampResolution), ModifiedTime: f.Created.UTC().Format(timestampResolution),
		Owners:       []DriveUser{{Kind: "drive#user", DisplayName: f.Owner, EmailAddress: f.Owner, Me: f.Owner == person}},
		WebViewLink:  "https://drive.google.com/file/d/" + f.ID + "/view",
		Capabilities: &FileCapabilities{CanDownload: true, CanShare: f.Owner == person},
	}
	if f.Owner == person {
		out.Permissions = f.Permissions
	}
	if f.Type != videoType {
		return out
	}
	out.Size = strconv.FormatInt(f.Size, 10)
	out.VideoMediaMetadata = &VideoMediaMetadata{Width: 1280, Height: 720, DurationMillis: strconv.FormatInt(f.Duration, 10)}
	fault := s.setup().Data.DriveChecksum
	if fault == lateChecksum || !strings.Contains(fields, "hecksum") && !strings.Contains(fields, "*") {
		return out
	}
	have := s.checksums.of(f)
	if fault == wrongChecksum {
		turn := func(h string) string { return h[1:] + h[:1] }
		have = sums{turn(have.md5), turn(have.sha1), turn(have.sha256)}
	}
	out.MD5Checksum, out.SHA1Checksum, out.SHA256Checksum = have.md5, have.sha1, have.sha256
	return out
}

const usualFileFields = "kind,id,name,mimeType"

func (s *Server) getFile(c *call) (answer, error) {
	f, refusal := s.file(c)
	if refusal != nil {
		return answer{}, refusal
	}
	q := c.r.URL.Query()
	if q.Get("alt") == "media" {
		if !s.mayDownload(c.who) {
			return answer{}, insufficientScope(driveService, "google.apps.drive.v3.DriveFiles.Get")
		}
		if f.Type != videoType {
			return answer{}, &apiError{
				status: http.StatusForbidden, reason: "fileNotDownloadable", location: "alt", locationType: "parameter",
				message: "Only files with binary content can be downloaded. Use Export with Docs Editors files.",
			}
		}
		s.calls[mediaCalls].Add(1)
		return answer{stream: func(w http.ResponseWriter) { s.download(w, c.r, &f) }}, nil
	}
	a, err := ok(s.fileResource(&f, c.who.person(), q.Get("fields")))
	a.fields = usualFileFields
	return a, err
}

// mayDownload leaves out the scopes that only show what a file is called.
func (s *Server) mayDownload(who *grant) bool {
	return slices.ContainsFunc(who.Scopes, func(scope string) bool { return !strings.Contains(scope, "drive.metadata") })
}

// download sends a file or a part of it, as http.ServeContent knows how: 206, 416 and If-Range.
func (s *Server) download(w http.ResponseWriter, r *http.Request, f *driveFile) {
	faults := s.setup().Data
	if faults.DriveIgnoreRange {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	w.Header().Set("Content-Type", f.Type)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	w.Header().Set("ETag", `"`+strconv.FormatUint(f.Seed, 16)+`"`)
	if faults.DriveCut > 0 {
		w = &cutWriter{ResponseWriter: w, left: faults.DriveCut}
	}
	bytes, sent := &content{seed: f.Seed, size: f.Size}, &sentWriter{ResponseWriter: w}
	http.ServeContent(sent, r, "", time.Time{}, bytes)
	if !sent.lost && bytes.at == bytes.size {
		s.copied(f.ID)
	}
}

// copied notes that a file was read to its end. Nothing depends on it but the truth.
func (s *Server) copied(id string) {
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	f := st.files[id]
	if f == nil || !f.Copied.IsZero() {
		return
	}
	next := *f
	next.Copied = now
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "file", File: &next})); err != nil {
		s.log.Error("file's state not written", "error", err)
		return
	}
	st.keepFile(&next)
}

// sentWriter notices a client that is gone.
type sentWriter struct {
	http.ResponseWriter
	lost bool
}

func (w *sentWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.lost = w.lost || err != nil
	return n, err
}

func (w *sentWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// cutWriter breaks the connection off after some bytes of the body.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) <= c.left {
		c.left -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

const largestExport = 10 << 20 // bytes; Drive files.export

func (s *Server) exportFile(c *call) (answer, error) {
	f, refusal := s.file(c)
	if refusal != nil {
		return answer{}, refusal
	}
	if f.Type != documentType {
		return answer{}, &apiError{status: http.StatusForbidden, reason: "fileNotExportable", message: "Export only supports Docs Editors files."}
	}
	if kind := c.form.Get("mimeType"); kind != "text/plain" {
		return answer{}, &apiError{status: http.StatusBadRequest, reason: "badRequest", message: "The requested conversion is not supported."}
	}
	if len(f.Text) > largestExport {
		return answer{}, &apiError{status: http.StatusForbidden, reason: "exportSizeLimitExceeded", message: "This file is too large to be exported."}
	}
	return answer{stream: func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, f.Text) // a client that is gone needs no answer
	}}, nil
}

// listFiles answers searches of the kinds that programs make for recordings.
func (s *Server) listFiles(c *call) (answer, error) {
	match, refusal := fileQuery(c.form.Get("q"))
	if refusal != nil {
		return answer{}, refusal
	}
	size, refusal := c.positive("pageSize", 100)
	if refusal != nil {
		return answer{}, refusal
	}
	after, refusal := c.offset("pageToken")
	if refusal != nil {
		return answer{}, refusal
	}
	who := c.who.person()
	var found []*driveFile
	st := s.store
	st.mu.RLock()
	for _, id := range slices.Backward(st.filesOf[who]) {
		if f := st.files[id]; !f.Deleted && match(f) {
			found = append(found, f)
		}
	}
	st.mu.RUnlock()
	items, next := pageOf(found, after, min(size, 1000))
	out := fileList{Kind: "drive#fileList", NextPageToken: next, Files: []DriveFile{}}
	for _, f := range items {
		out.Files = append(out.Files, s.fileResource(f, who, c.r.URL.Query().Get("fields")))
	}
	a, err := ok(out)
	a.fields = "kind,incompleteSearch,nextPageToken,files(" + usualFileFields + ")"
	return a, err
}

// fileQuery understands trashed, name and mimeType, joined by and.
func fileQuery(q string) (func(*driveFile) bool, *apiError) {
	all := func(*driveFile) bool { return true }
	if strings.TrimSpace(q) == "" {
		return all, nil
	}
	var tests []func(*driveFile) bool
	for part := range strings.SplitSeq(q, " and ") {
		words := strings.Fields(part)
		if len(words) < 3 {
			return nil, invalidQuery()
		}
		value := strings.Trim(strings.Join(words[2:], " "), "'")
		switch words[0] + " " + words[1] {
		case "trashed =":
			tests = append(tests, func(f *driveFile) bool { return strconv.FormatBool(f.Trashed) == value })
		case "name =":
			tests = append(tests, func(f *driveFile) bool { return f.Name == value })
		case "name contains":
			tests = append(tests, func(f *driveFile) bool { return strings.Contains(strings.ToLower(f.Name), strings.ToLower(value)) })
		case "mimeType =":
			tests = append(tests, func(f *driveFile) bool { return f.Type == value })
		default:
			return nil, invalidQuery()
		}
	}
	return func(f *driveFile) bool {
		return !slices.ContainsFunc(tests, func(test func(*driveFile) bool) bool { return !test(f) })
	}, nil
}

func invalidQuery() *apiError {
	return &apiError{status: http.StatusBadRequest, reason: "invalid", message: "Invalid Value", location: "q", locationType: "parameter"}
}

func (s *Server) createPermission(c *call) (answer, error) {
	f, refusal := s.file(c)
	if refusal != nil {
		return answer{}, refusal
	}
	if f.Owner != c.who.person() {
		return answer{}, &apiError{status: http.StatusForbidden, reason: "insufficientFilePermissions", message: "The user does not have sufficient permissions for this file."}
	}
	var in Permission
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, parseError()
	}
	personal := in.Type == "user" || in.Type == "group"
	switch {
	case !slices.Contains([]string{"user", "group", "domain", "anyone"}, in.Type):
		return answer{}, required("The permission type field is required.")
	case !slices.Contains([]string{"reader", "commenter", "writer"}, in.Role):
		return answer{}, invalid("The specified role is invalid or not supported.")
	case personal && !validEmail(in.EmailAddress), in.Type == "domain" && in.Domain == "":
		return answer{}, &apiError{status: http.StatusBadRequest, reason: "invalidSharingRequest", message: "Bad Request. User message: \"You are trying to invite " + in.EmailAddress + ".\""}
	}
	in.EmailAddress = strings.ToLower(in.EmailAddress)
	in.Kind, in.ID = "", strconv.FormatUint(seedOf(in.Type+in.EmailAddress+in.Domain), 10)
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	next := *st.files[f.ID]
	next.Permissions = append(slices.DeleteFunc(slices.Clone(next.Permissions), func(p Permission) bool { return p.ID == in.ID }), in)
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "file", File: &next})); err != nil {
		return answer{}, err
	}
	st.keepFile(&next)
	in.Kind = "drive#permission"
	a, err := ok(in)
	a.fields = "kind,id,type,role"
	return a, err
}

func (s *Server) listPermissions(c *call) (answer, error) {
	f, refusal := s.file(c)
	if refusal != nil {
		return answer{}, refusal
	}
	out := permissionList{Kind: "drive#permissionList", Permissions: []Permission{}}
	for _, p := range f.Permissions {
		p.Kind = "drive#permission"
		out.Permissions = append(out.Permissions, p)
	}
	a, err := ok(out)
	a.fields = "kind,nextPageToken,permissions(kind,id,type,role)"
	return a, err
}

// postFile is what happens to a file in Drive: {"id":…,"trashed":true} or {"id":…,"deleted":true}.
func (s *Server) postFile(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	var in struct {
		ID      string `json:"id"`
		Trashed *bool  `json:"trashed"`
		Deleted *bool  `json:"deleted"`
	}
	if err := decodeStrict(body, &in); err != nil {
		return asFieldError(err)
	}
	if err := s.progress(); err != nil {
		return err
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	f := st.files[in.ID]
	if f == nil {
		return &fieldError{"id", "no such file"}
	}
	next := *f
	if in.Trashed != nil {
		next.Trashed = *in.Trashed
	}
	if in.Deleted != nil {
		next.Deleted = *in.Deleted
	}
	next.Lost = time.Time{}
	if next.Trashed || next.Deleted {
		next.Lost = cmp.Or(f.Lost, s.now())
	}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "file", File: &next})); err != nil {
		return err
	}
	st.keepFile(&next)
	writeJSON(w, http.StatusOK, mustJSON(next))
	return nil
}
