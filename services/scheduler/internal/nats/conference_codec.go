package nats

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
)

func decodePlan(p *meetv1.ConferencePlan, owner int64) job.ConferencePlan {
	plan := job.ConferencePlan{
		Account: p.GetAccount(), ListFrom: moment(p.GetListFrom()), ListUntil: moment(p.GetListUntil()), Spaces: p.GetSpaces(),
		Fresh: decodeLook(p.GetFresh()), FreshSpace: p.GetFreshSpace(), Upkeep: owner > 0, Subscribe: p.GetSubscribe(),
	}
	for _, l := range p.GetReadings() {
		plan.Looks = append(plan.Looks, decodeLook(l))
	}
	if s := p.GetSubscription(); s != nil {
		plan.Subscription = job.Subscription{
			Name: s.GetName(), User: s.GetUser(), State: job.SubscriptionState(s.GetState()), Reason: s.GetReason(),
			Expires: moment(s.GetExpiresAt()), Checked: moment(s.GetCheckedAt()),
		}
	}
	return plan
}

func decodeLook(l *meetv1.ConferenceReading) job.Look {
	return job.Look{
		Record: l.GetRecord(), Itself: l.GetRecordItself(), Recordings: l.GetRecordings(), Files: l.GetFiles(),
		Attendees: l.GetAttendees(), Stays: l.GetSessions(), Transcripts: l.GetTranscripts(), TranscriptEntries: l.GetEntries(),
	}
}

// look is a job of either kind that reads conferences.
type look struct {
	jobID          string
	dispatch       int64
	failed         int
	meeting, owner int64
}

// encodeObserved is the outcome in parts, all but the last partial, each small enough for one message. What is long is told in
// several pieces; that it is complete is told by its last piece, which is later than the others.
func encodeObserved(l look, account string, plan *job.ConferencePlan, o *job.Observation) []*meetv1.ConferenceObservedRequest {
	p := &parts{
		fresh: func() *meetv1.ConferenceObservedRequest {
			return &meetv1.ConferenceObservedRequest{JobId: l.jobID, Dispatch: l.dispatch, MeetingId: l.meeting, Owner: l.owner, Account: account}
		},
	}
	p.next()
	for i := range o.Conferences {
		p.conference(&o.Conferences[i])
	}
	last := p.all[len(p.all)-1]
	last.Partial = false
	if last.Listed = o.Listed; o.Listed {
		last.ListFrom, last.ListUntil = stamp(plan.ListFrom), stamp(plan.ListUntil)
	}
	if s := o.Subscription; s != nil {
		last.Subscription = &meetv1.NoticeSubscription{
			Name: s.Name, User: s.User, State: string(s.State), Reason: s.Reason, ExpiresAt: stamp(s.Expires), CheckedAt: stamp(s.Checked),
		}
	}
	if f := o.Failure; f != nil {
		last.Failure = &meetv1.SyncFailure{Permanent: f.Permanent(), Code: f.Code, Message: f.Message, Deferred: f.Kind == job.Deferred}
		if !f.Permanent() {
			last.Failure.RetryAt = timestamppb.New(o.RetryAt)
		}
	}
	return p.all
}

// parts fills one message after the other.
type parts struct {
	fresh func() *meetv1.ConferenceObservedRequest
	all   []*meetv1.ConferenceObservedRequest
	size  int

	held *meetv1.ObservedConference // in the last part
}

// next begins another part.
func (p *parts) next() {
	part := p.fresh()
	part.Partial = true
	p.all, p.size = append(p.all, part), 0
}

// room makes place for m. True: that took another part, in which what m belongs to must be named again.
func (p *parts) room(m proto.Message) bool {
	n := proto.Size(m)
	if p.size > 0 && p.size+n > partBytes {
		p.next()
		p.size = n
		return true
	}
	p.size += n
	return false
}

func (p *parts) conference(h *job.Held) {
	head := func() *meetv1.ObservedConference { return &meetv1.ObservedConference{Record: h.Record, Space: h.Space} }
	open := func() {
		p.held = head()
		last := p.all[len(p.all)-1]
		last.Conferences = append(last.Conferences, p.held)
	}
	p.room(head())
	open()
	p.held.StartedAt, p.held.EndedAt, p.held.ExpiresAt, p.held.RecordRead, p.held.Gone = stamp(h.Started), stamp(h.Ended), stamp(h.Expires), h.Read, h.Gone
	for i := range h.Recordings {
		r := encodeRecording(&h.Recordings[i])
		if p.room(r) {
			open()
		}
		p.held.Recordings = append(p.held.Recordings, r)
	}
	p.held.RecordingsRead = h.RecordingsRead
	for i := range h.Attendees {
		p.attendee(&h.Attendees[i], open)
	}
	p.held.AttendeesRead = h.AttendeesRead
	for i := range h.Transcripts {
		p.transcriptOf(&h.Transcripts[i], open)
	}
	p.held.TranscriptsRead = h.TranscriptsRead
}

// attendee is told whole in each of the parts that it takes, with some of the sessions in each.
func (p *parts) attendee(a *job.Attendee, open func()) {
	head := func() *meetv1.ObservedAttendee {
		return &meetv1.ObservedAttendee{
			Name: a.Name, Kind: string(a.Kind), User: a.User, DisplayName: clip(a.DisplayName), Email: a.Email,
			FirstJoinedAt: stamp(a.Joined), LastLeftAt: stamp(a.Left),
		}
	}
	one := head()
	if p.room(one) {
		open()
	}
	p.held.Attendees = append(p.held.Attendees, one)
	for i := range a.Stays {
		s := &meetv1.ObservedSession{Name: a.Stays[i].Name, JoinedAt: stamp(a.Stays[i].Joined), LeftAt: stamp(a.Stays[i].Left)}
		if p.room(s) {
			open()
			one = head()
			p.held.Attendees = append(p.held.Attendees, one)
		}
		one.Sessions = append(one.Sessions, s)
	}
	one.SessionsRead = a.StaysRead
}

func (p *parts) transcriptOf(t *job.Transcript, open func()) {
	head := func() *meetv1.ObservedTranscript {
		return &meetv1.ObservedTranscript{
			Name: t.Name, State: t.State, StartedAt: stamp(t.Started), EndedAt: stamp(t.Ended), DocumentId: t.DocumentID, ExportUri: t.ExportURI,
		}
	}
	one := head()
	if p.room(one) {
		open()
	}
	p.held.Transcripts = append(p.held.Transcripts, one)
	for i := range t.Entries {
		e := &t.Entries[i]
		out := &meetv1.ObservedEntry{
			Name: e.Name, Attendee: e.Attendee, Text: clip(e.Text), Language: e.Language, StartedAt: stamp(e.Started), EndedAt: stamp(e.Ended),
		}
		if p.room(out) {
			open()
			one = head()
			p.held.Transcripts = append(p.held.Transcripts, one)
		}
		one.Entries = append(one.Entries, out)
	}
	one.EntriesRead = t.EntriesRead
}

func encodeRecording(r *job.Recording) *meetv1.ObservedRecording {
	out := &meetv1.ObservedRecording{
		Name: r.Name, State: r.State, StartedAt: stamp(r.Started), EndedAt: stamp(r.Ended), DriveFileId: r.FileID, ExportUri: r.ExportURI,
	}
	if f := r.File; f != nil {
		out.File = &meetv1.ObservedFile{
			State: string(f.State), Name: clip(f.Name), MimeType: f.MIMEType, SizeBytes: f.Size, Sha256: f.SHA256, Md5: f.MD5,
			DurationMillis: f.Duration.Milliseconds(), WebViewLink: f.Link,
		}
	}
	return out
}

func encodeNotice(n *notice.Notice) *meetv1.ConferenceNotice {
	return &meetv1.ConferenceNotice{
		Source: n.Source, Id: n.ID, Type: n.Type, Time: stamp(n.Time), Resource: n.Resource, Target: n.Target, Reason: n.Reason,
	}
}
