package stacktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
)

// URL is where a gateway answers.
func (s *Stack) URL() string { return s.urls[0] }

// DatabaseURL is the database's, password included.
func (s *Stack) DatabaseURL() string { return s.database }

// EmulatorURL is where Google is played.
func (s *Stack) EmulatorURL() string { return s.emulator }

// Traces are what the product has left so far, by where: the log of every service and of NATS, every row of every table, every
// message of every stream, and what each ops port tells. Whatever must not be left somewhere is looked for in them.
func (s *Stack) Traces(ctx context.Context) (map[string]string, error) {
	traces := make(map[string]string)
	for _, p := range s.all {
		if p == s.Postgres || p == s.Emulator {
			continue // they tell the kit where they are, password included
		}
		traces["log of "+p.Name] = strings.Join(p.Lines(), "\n")
	}
	return traces, errors.Join(s.traceRows(ctx, traces), s.traceMessages(ctx, traces), s.traceOps(ctx, traces))
}

func (s *Stack) traceRows(ctx context.Context, traces map[string]string) error {
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	rows, err := conn.Query(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	for _, table := range tables {
		rows, err := conn.Query(ctx, "SELECT row_to_json(t)::text FROM "+pgx.Identifier{table}.Sanitize()+" t")
		if err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
		traces["table "+table] = strings.Join(texts, "\n")
	}
	return nil
}

func (s *Stack) traceMessages(ctx context.Context, traces map[string]string) error {
	conn, js, err := s.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	lister := js.ListStreams(ctx)
	for info := range lister.Info() {
		stream, err := js.Stream(ctx, info.Config.Name)
		if err != nil {
			return fmt.Errorf("look at %s: %w", info.Config.Name, err)
		}
		var text bytes.Buffer
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
			msg, err := stream.GetMsg(ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue // taken meanwhile
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", info.Config.Name, err)
			}
			header, err := json.Marshal(msg.Header)
			if err != nil {
				return fmt.Errorf("read a header of %s: %w", info.Config.Name, err)
			}
			fmt.Fprintf(&text, "%s %s %s\n", msg.Subject, header, msg.Data)
		}
		traces["stream "+info.Config.Name] = text.String()
	}
	return lister.Err()
}

func (s *Stack) traceOps(ctx context.Context, traces map[string]string) error {
	for p, url := range s.ops {
		for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
			if err != nil {
				return err
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return fmt.Errorf("ask %s of %s: %w", path, p.Name, err)
			}
			text, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close() // it was read
			if err != nil {
				return fmt.Errorf("read %s of %s: %w", path, p.Name, err)
			}
			traces[path+" of "+p.Name] = string(text)
		}
	}
	return nil
}
