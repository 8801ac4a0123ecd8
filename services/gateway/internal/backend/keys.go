package backend

import (
	"context"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

// CreateKey draws a key and has its hash kept. Its secret is in the answer of the request that made it, and
// never in that of a repeat.
func (b *Backend) CreateKey(ctx context.Context, caller Caller, req *meetv1.CreateKeyRequest) (Outcome[*meetv1.CreateKeyResponse], error) {
	mode := req.GetMode()
	if mode == "" {
		mode = "live"
	}
	drawn, err := auth.DrawKey(mode)
	if err != nil {
		return Outcome[*meetv1.CreateKeyResponse]{}, err
	}
	if caller.BodyHash, err = HashBody(req); err != nil { // what was drawn differs each time
		return Outcome[*meetv1.CreateKeyResponse]{}, err
	}
	outcome, err := Do(ctx, b, subject.CreateKey, caller, &meetv1.StoreKeyRequest{Key: req, Prefix: drawn.Prefix, SecretHash: drawn.Hash})
	return showOnce(outcome, drawn), err
}

// RotateKey has a key made that takes another's place.
func (b *Backend) RotateKey(ctx context.Context, caller Caller, req *meetv1.RotateKeyRequest) (Outcome[*meetv1.CreateKeyResponse], error) {
	before, err := Ask(ctx, b, subject.GetKey, &meetv1.GetKeyRequest{Key: req.GetKey()})
	if err != nil {
		return Outcome[*meetv1.CreateKeyResponse]{}, err
	}
	drawn, err := auth.DrawKey(before.GetMode())
	if err != nil {
		return Outcome[*meetv1.CreateKeyResponse]{}, err
	}
	if caller.BodyHash, err = HashBody(req); err != nil {
		return Outcome[*meetv1.CreateKeyResponse]{}, err
	}
	outcome, err := Do(ctx, b, subject.RotateKey, caller, &meetv1.StoreRotatedKeyRequest{Key: req, Prefix: drawn.Prefix, SecretHash: drawn.Hash})
	return showOnce(outcome, drawn), err
}

// showOnce shows the secret where the key is the one that was drawn for this request: the answer to a repeat is about another.
func showOnce(stored Outcome[*meetv1.StoreKeyResponse], drawn auth.Key) Outcome[*meetv1.CreateKeyResponse] {
	out := Outcome[*meetv1.CreateKeyResponse]{Replayed: stored.Replayed, Response: &meetv1.CreateKeyResponse{Key: stored.Response.GetKey()}}
	if out.Response.GetKey().GetPrefix() == drawn.Prefix {
		out.Response.Secret, out.Replayed = drawn.Secret, false
	}
	return out
}
