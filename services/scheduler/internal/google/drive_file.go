package google

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/drive/v3"
	"google.golang.org/api/googleapi"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// scopesShareFile is needed only by who wants recordings to be shared.
const scopesShareFile scopeSet = "https://www.googleapis.com/auth/drive"

// The codes of failures with a file in Drive.
//
//	code                      passes  what to do
//	GOOGLE_FILE_GONE          no      the file was deleted, or the account may not see it
//	GOOGLE_FILE_DENIED        no      the account may not download or share the file: check Drive's sharing rules for its unit
//	GOOGLE_DOWNLOAD_QUOTA     yes     the file was downloaded too often; the limit lasts hours
//	GOOGLE_SHARING_LIMIT      yes     Drive's limit on sharing was reached; it lasts hours
//	GOOGLE_SHARE_REFUSED      no      Drive does not share with this address
const (
	CodeFileDenied    = "GOOGLE_FILE_DENIED"
	CodeDownloadQuota = "GOOGLE_DOWNLOAD_QUOTA"
	CodeSharingLimit  = "GOOGLE_SHARING_LIMIT"
	CodeShareRefused  = "GOOGLE_SHARE_REFUSED"
)

const (
	// downloadPause is how long a file rests that was downloaded too often: the limit lasts hours (Drive API, downloadQuotaExceeded).
	downloadPause = 3 * time.Hour
	// sharingPause is the same for sharing (Drive API, sharingRateLimitExceeded: no quick retry).
	sharingPause = time.Hour

	methodDownload = "drive.files.download" // files.get with alt=media, apart in metrics from reading what is said of the file
)

// OpenFile reads a file's content from offset on. The call is bounded as any other until Google begins to answer; the reader is
// bounded by ctx alone.
func (c *Client) OpenFile(ctx context.Context, account, id string, offset int64) (job.Download, error) {
	for second := false; ; second = true {
		token, err := c.tokens.get(ctx, account, scopesDrive)
		if err != nil {
			return job.Download{}, fmt.Errorf("%s: %w", methodDownload, tokenFailure(ctx, err))
		}
		done, err := c.quotas.Begin(ctx, account, classOf(methodDownload))
		if err != nil {
			return job.Download{}, fmt.Errorf("%s: %w", methodDownload, err)
		}
		begin := time.Now()
		calling, hangUp := context.WithCancelCause(ctx)
		limit := time.AfterFunc(c.config.Timeout, func() { hangUp(errTimeout) })
		call := c.drive.Files.Get(id).SupportsAllDrives(true).Context(calling)
		call.Header().Set("Authorization", "Bearer "+token)
		if offset > 0 {
			call.Header().Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
		}
		res, err := call.Download(quotaUser(account))
		if err == nil && limit.Stop() {
			c.seconds.WithLabelValues(methodDownload, "ok").Observe(time.Since(begin).Seconds())
			done(ctx, true, nil)
			got := job.Download{Body: &answerBody{res.Body, hangUp}, Size: res.ContentLength}
			if res.StatusCode == http.StatusPartialContent {
				if got.Offset, got.Size, err = contentRange(res.Header.Get("Content-Range")); err != nil {
					return job.Download{}, errors.Join(err, got.Body.Close())
				}
			}
			return got, nil
		}
		limit.Stop()
		if err == nil { // its first byte came with the end of the time-out
			err = errors.Join(errTimeout, res.Body.Close())
		}
		f := fileFailure(calling, err)
		if !errors.Is(context.Cause(calling), context.Canceled) {
			done(ctx, answered(err), refusal(err, f))
		}
		hangUp(nil)
		c.seconds.WithLabelValues(methodDownload, f.Code).Observe(time.Since(begin).Seconds())
		if !second && isUnauthorized(err) {
			c.tokens.drop(account, scopesDrive, token)
			continue
		}
		return job.Download{}, fmt.Errorf("%s: %w", methodDownload, f)
	}
}

// answerBody ends the call with its reader.
type answerBody struct {
	io.ReadCloser
	hangUp context.CancelCauseFunc
}

func (b *answerBody) Close() error {
	b.hangUp(nil)
	return b.ReadCloser.Close()
}

// contentRange reads "bytes 5-9/10" (RFC 9110 §14.4); size is negative where it is not said.
func contentRange(text string) (offset, size int64, err error) {
	bad := &job.Failure{Kind: job.Transient, Code: CodeUnavailable, Message: "Google sent a part of the file and does not say which", Err: fmt.Errorf("Content-Range %q", quote(text))}
	span, total, found := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, _, ranged := strings.Cut(span, "-")
	if !strings.HasPrefix(text, "bytes ") || !found || !ranged {
		return 0, 0, bad
	}
	if offset, err = strconv.ParseInt(first, 10, 64); err != nil || offset < 0 {
		return 0, 0, bad
	}
	if total == "*" {
		return offset, -1, nil
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil || size < offset {
		return 0, 0, bad
	}
	return offset, size, nil
}

// ShareFile lets somebody read a file. Nobody is told by mail. For somebody who may already Drive answers with what is there.
func (c *Client) ShareFile(ctx context.Context, account, id, email string) error {
	var raw error
	err := c.as(ctx, account, account, scopesShareFile, "drive.permissions.create", func(ctx context.Context, who caller) error {
		call := c.drive.Permissions.Create(id, &drive.Permission{Type: "user", Role: "reader", EmailAddress: email}).
			SendNotificationEmail(false).SupportsAllDrives(true).Fields("id").Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		_, raw = call.Do(who.quotaUser)
		return raw
	})
	var e *googleapi.Error
	if err != nil && errors.As(raw, &e) {
		return fmt.Errorf("drive.permissions.create: %w", fileFailure(ctx, raw))
	}
	return err
}

// fileFailure is [callFailure] for calls that name a file: Drive has reasons of its own.
func fileFailure(ctx context.Context, err error) *job.Failure {
	f := callFailure(ctx, err)
	var e *googleapi.Error
	if !errors.As(err, &e) || f.Code == CodeUnavailable {
		return f
	}
	said := quote(e.Message)
	become := func(kind job.Kind, code, message string) *job.Failure {
		f.Kind, f.Code, f.Message = kind, code, message
		return f
	}
	switch reasonOf(e) {
	case "downloadQuotaExceeded":
		f.After = max(f.After, downloadPause)
		return become(job.Transient, CodeDownloadQuota, "the file was downloaded too often, which Drive limits for hours; it is tried again by itself")
	case "sharingRateLimitExceeded":
		f.After = max(f.After, sharingPause)
		return become(job.Transient, CodeSharingLimit, "Drive's limit on sharing was reached; it is tried again by itself")
	case "invalidSharingRequest":
		return become(job.Refused, CodeShareRefused, "Drive does not share with this address: "+said)
	}
	switch {
	case e.Code == http.StatusNotFound:
		return become(job.NotFound, job.CodeFileGone, "Drive no longer has the file, or does not show it to the account")
	case e.Code == http.StatusRequestedRangeNotSatisfiable:
		return become(job.Stale, CodeInvalidRequest, "the file ends before that byte")
	case e.Code == http.StatusForbidden && f.Code == CodePermissionDenied:
		return become(job.Refused, CodeFileDenied, "Drive does not let the account do this with the file ("+said+"); check what Drive's sharing rules allow its unit, and that the account owns the file")
	}
	return f
}
