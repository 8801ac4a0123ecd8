package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob/s3blob"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const (
	// maxParts is S3's limit for one object.
	maxParts = 10_000
	// abortWait bounds the end of an upload that failed; what remains is removed by the next attempt.
	abortWait = 4 * time.Second
)

// openS3 connects to Amazon S3 or to what speaks its protocol.
func openS3(ctx context.Context, t target) (*connection, error) {
	config, err := awsconfig.LoadDefaultConfig(ctx, func(o *awsconfig.LoadOptions) error {
		o.Region, o.SharedConfigProfile = t.region, t.profile
		// AWS's own kind of client, which takes AWS_CA_BUNDLE into account.
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(tune)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the settings of AWS: %w", err)
	}
	client := s3.NewFromConfig(config, func(o *s3.Options) {
		o.UsePathStyle = t.pathStyle
		if t.endpoint != "" {
			o.BaseEndpoint = aws.String(t.endpoint)
			// Servers that are not Amazon's may not know the newer checksums. The object is read back in any case.
			o.RequestChecksumCalculation, o.ResponseChecksumValidation = aws.RequestChecksumCalculationWhenRequired, aws.ResponseChecksumValidationWhenRequired
		}
	})
	bucket, err := s3blob.OpenBucket(ctx, client, t.bucket, nil)
	if err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	return &connection{
		Bucket: bucket,
		create: func(ctx context.Context, key string, size int64) (job.Draft, error) {
			part := partSizeOf(size)
			return &upload{ctx: ctx, client: client, target: t, key: key, size: part, room: int(min(int64(part), size))}, nil
		},
		abort: func(ctx context.Context, key string) error { return abortUploads(ctx, client, t.bucket, key) },
	}, nil
}

// tune sets no limit on a whole request, which may be long; the job watches that something moves.
func tune(t *http.Transport) {
	t.Proxy = http.ProxyFromEnvironment
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.ForceAttemptHTTP2 = true
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout, t.TLSHandshakeTimeout = 90*time.Second, 10*time.Second
}

func transport() *http.Transport {
	t := new(http.Transport)
	tune(t)
	return t
}

// partSizeOf is larger only where so many parts would not do.
func partSizeOf(size int64) int {
	const mebi = 1 << 20
	return int(max(partSize, (size/(maxParts-1)/mebi+1)*mebi))
}

// upload is a multipart upload, of which nothing is seen before it is completed. One part is sent while the next one fills: two
// are all that is in memory.
type upload struct {
	ctx    context.Context //nolint:containedctx // the draft is the call
	client *s3.Client
	target target
	key    string
	size   int // of a part
	room   int // for a part, less where the object is smaller

	id      *string
	filling *bytes.Buffer
	spare   *bytes.Buffer
	sending chan error // nil: none is sent
	parts   []types.CompletedPart
}

// Kept is [job.Draft]: the sums of parts that a dead attempt sent are lost with it, so they are sent anew.
func (u *upload) Kept(io.Writer) (int64, error) { return 0, nil }

// Write is [job.Draft].
func (u *upload) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if u.filling == nil {
			u.filling = bytes.NewBuffer(make([]byte, 0, u.room))
		}
		n := min(len(p), u.size-u.filling.Len())
		u.filling.Write(p[:n])
		written, p = written+n, p[n:]
		if u.filling.Len() == u.size {
			if err := u.send(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// send hands the part that is full to the network, once the one before it has arrived.
func (u *upload) send() error {
	if u.id == nil {
		in := &s3.CreateMultipartUploadInput{Bucket: &u.target.bucket, Key: &u.key, ContentType: aws.String(contentType(u.key))}
		in.ServerSideEncryption = types.ServerSideEncryption(u.target.sse)
		if u.target.key != "" {
			in.SSEKMSKeyId = &u.target.key
		}
		made, err := u.client.CreateMultipartUpload(u.ctx, in)
		if err != nil {
			return cloudFailure("begin the upload", err)
		}
		u.id = made.UploadId
	}
	if err := u.arrived(); err != nil {
		return err
	}
	number, part := aws.Int32(int32(len(u.parts)+1)), u.filling
	u.filling, u.spare = u.spare, nil
	if u.filling == nil {
		u.filling = bytes.NewBuffer(make([]byte, 0, u.room))
	}
	u.parts = append(u.parts, types.CompletedPart{PartNumber: number})
	done := &u.parts[len(u.parts)-1]
	u.sending = make(chan error, 1)
	go func(answer chan<- error) {
		sent, err := u.client.UploadPart(u.ctx, &s3.UploadPartInput{
			Bucket: &u.target.bucket, Key: &u.key, UploadId: u.id, PartNumber: number, Body: bytes.NewReader(part.Bytes()),
		})
		if err == nil { // read by nobody before the answer
			done.ETag, done.ChecksumCRC32, done.ChecksumCRC32C = sent.ETag, sent.ChecksumCRC32, sent.ChecksumCRC32C
			done.ChecksumCRC64NVME, done.ChecksumSHA1, done.ChecksumSHA256 = sent.ChecksumCRC64NVME, sent.ChecksumSHA1, sent.ChecksumSHA256
		}
		part.Reset()
		u.spare = part
		answer <- cloudFailure("upload a part", err)
	}(u.sending)
	return nil
}

// arrived waits for the part that is being sent.
func (u *upload) arrived() error {
	if u.sending == nil {
		return nil
	}
	err := <-u.sending // it ends with ctx
	u.sending = nil
	return err
}

// Commit is [job.Draft].
func (u *upload) Commit() error {
	if u.id == nil { // too small for parts, which are 5 MiB at least, all but the last
		var body []byte
		if u.filling != nil {
			body = u.filling.Bytes()
		}
		in := &s3.PutObjectInput{Bucket: &u.target.bucket, Key: &u.key, Body: bytes.NewReader(body), ContentType: aws.String(contentType(u.key))}
		in.ServerSideEncryption = types.ServerSideEncryption(u.target.sse)
		if u.target.key != "" {
			in.SSEKMSKeyId = &u.target.key
		}
		_, err := u.client.PutObject(u.ctx, in)
		return cloudFailure("put the object", err)
	}
	if u.filling != nil && u.filling.Len() > 0 {
		if err := u.send(); err != nil {
			return err
		}
	}
	if err := u.arrived(); err != nil {
		return err
	}
	failpoint.Here("scheduler.export_uploaded")
	_, err := u.client.CompleteMultipartUpload(u.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.target.bucket, Key: &u.key, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	return cloudFailure("complete the upload", err)
}

// Abandon is [job.Draft].
func (u *upload) Abandon(bool) {
	if u.id == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortWait)
	defer cancel()
	if u.sending != nil { // one that is still sent could arrive after the end
		select {
		case <-u.sending: //nolint:errcheck // it is given up in any case
		case <-ctx.Done():
		}
	}
	// What an error leaves here is found by the next attempt.
	_, _ = u.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.target.bucket, Key: &u.key, UploadId: u.id})
}

// abortUploads ends the uploads of an object that attempts began and did not end.
func abortUploads(ctx context.Context, client *s3.Client, bucket, key string) error {
	pages := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: &bucket, Prefix: &key})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if apiCode(err) == "NoSuchUpload" { // what some servers say for none
			return nil
		}
		if err != nil {
			return fmt.Errorf("list uploads: %w", err)
		}
		for _, u := range page.Uploads {
			if aws.ToString(u.Key) != key {
				continue
			}
			_, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: u.UploadId})
			if err != nil && apiCode(err) != "NoSuchUpload" {
				return fmt.Errorf("abort an upload: %w", err)
			}
		}
	}
	return nil
}

// apiCode is S3's own word for an error; empty: it is none of S3's.
func apiCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func isNoBucket(err error) bool { return apiCode(err) == "NoSuchBucket" }

func isFull(err error) bool {
	return slices.Contains([]string{"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientCapacity", "InsufficientStorage"}, apiCode(err))
}

func isDenied(err error) bool {
	return slices.Contains([]string{
		"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AllAccessDisabled", "AccountProblem", "Forbidden",
	}, apiCode(err))
}
