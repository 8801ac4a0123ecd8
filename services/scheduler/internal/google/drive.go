package google

import (
	"context"
	"errors"
	"time"

	"google.golang.org/api/googleapi"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// fileFields are what is read of a file: Drive's own choice leaves out the checksums.
const fileFields googleapi.Field = "name,mimeType,size,md5Checksum,sha256Checksum,trashed,webViewLink,videoMediaMetadata(durationMillis)"

// GetFile reads what Drive tells of a file. One that is not shown has been deleted, or is not the account's to see: Drive does not
// tell the two apart.
func (c *Client) GetFile(ctx context.Context, account, id string) (file job.File, err error) {
	err = c.as(ctx, account, account, scopesDrive, "drive.files.get", func(ctx context.Context, who caller) error {
		call := c.drive.Files.Get(id).SupportsAllDrives(true).Fields(fileFields).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		file = job.File{
			State: job.FilePresent, Name: found.Name, MIMEType: found.MimeType, Size: found.Size,
			SHA256: found.Sha256Checksum, MD5: found.Md5Checksum, Link: found.WebViewLink,
		}
		if found.Trashed {
			file.State = job.FileTrashed
		}
		if v := found.VideoMediaMetadata; v != nil {
			file.Duration = time.Duration(v.DurationMillis) * time.Millisecond
		}
		return nil
	})
	var f *job.Failure
	if errors.As(err, &f) && f.Kind == job.NotFound {
		return job.File{State: job.FileGone}, nil
	}
	return file, err
}
