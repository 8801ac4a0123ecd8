package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/fx"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// offerPause is the longest pause between two tries to offer the first admin's link.
const offerPause = 30 * time.Second

// welcome prints, where nobody gets in without a credential and no admin is there yet, a link that makes the first one. The token in it
// is a secret: it goes to the terminal and never into the log.
func welcome(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, c Config, who *auth.Auth, b *backend.Backend, p *Port) {
	if who.Mode() == auth.Open {
		return
	}
	lifecycle.Go(lc, sd, log, "first-admin", func(ctx context.Context) error {
		pause := backoff.NewExponentialBackOff()
		pause.MaxInterval = offerPause
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			return struct{}{}, offer(ctx, b, c.publicURL(p), c.Stdout)
		}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, after time.Duration) {
			log.DebugContext(ctx, "whether there is an admin is not known yet", "error", err, "again_in", after)
		}))
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "no link for the first admin was offered", "error", err)
		}
		<-ctx.Done()
		return nil
	})
}

func offer(ctx context.Context, b *backend.Backend, url string, out io.Writer) error {
	token, err := auth.DrawToken()
	if err != nil {
		return err
	}
	outcome, err := backend.Do(ctx, b, subject.OfferAdmin, backend.Caller{Principal: bus.Gateway, Route: string(subject.OfferAdmin)}, &meetv1.OfferAdminRequest{TokenHash: auth.Hash(token)})
	if err != nil {
		return err
	}
	if !outcome.Response.GetOffered() {
		return nil
	}
	_, err = fmt.Fprintf(out, firstAdmin, url+"/first-admin/?token="+token, outcome.Response.GetExpiresAt().AsTime().Format(time.RFC3339), token)
	return err
}

const firstAdmin = `
There is no admin yet. This link makes the first one; it works once, until %[2]s:

  %[1]s

Or by a program: POST /api/v1/setup/first-admin/ with token, username, email, password and password_confirm; the token is
%[3]s

`

// publicURL is where a person reaches this service.
func (c Config) publicURL(p *Port) string {
	if c.Compat.PublicURL != "" {
		return strings.TrimRight(c.Compat.PublicURL, "/")
	}
	return p.URL()
}
