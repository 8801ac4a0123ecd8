package nats

import (
	"context"
	"crypto/sha256"

	"github.com/google/uuid"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
)

// noticedIDs is the UUIDv5 name space of the command ids of notices.
var noticedIDs = uuid.MustParse("6d0c3c3a-0b6b-5a6d-8f0a-2f9a7f6f0a44")

// Notices posts notices of conferences as commands.
type Notices struct{ bus *bus.Bus }

// NewNotices makes one.
func NewNotices(b *bus.Bus) *Notices { return &Notices{bus: b} }

// PostNotices returns once the notices are stored.
func (n *Notices) PostNotices(ctx context.Context, notices []notice.Notice) error {
	request, names := new(meetv1.ConferenceNoticedRequest), sha256.New()
	for i := range notices {
		request.Notices = append(request.Notices, encodeNotice(&notices[i]))
		names.Write([]byte(notices[i].Source + "\n" + notices[i].ID + "\n")) // no name has a line's end in it
	}
	return bus.Post(ctx, n.bus, subject.ConferenceNoticed, request, bus.Envelope{
		CommandID: uuid.NewSHA1(noticedIDs, names.Sum(nil)), Principal: bus.Scheduler,
	})
}
