package command

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// paging is --limit, --page-token and --all.
type paging struct {
	size  int32
	token string
	all   bool
}

func (p *paging) flags(cmd *cobra.Command) {
	cmd.Flags().Int32Var(&p.size, "limit", 100, "how many at once, 1 to 1000")
	cmd.Flags().StringVar(&p.token, "page-token", "", "where an earlier list ended")
	cmd.Flags().BoolVar(&p.all, "all", false, "every page")
}

// collect asks for a page, or for every one, and gives the token of what was not asked for; empty: nothing is left.
func (p *paging) collect(ask func(size int32, token string) (next string, err error)) (string, error) {
	next, err := ask(p.size, p.token)
	for err == nil && p.all && next != "" {
		next, err = ask(p.size, next)
	}
	return next, err
}

// showPage shows a list, and how to go on where it has more.
func (s *session) showPage(msg proto.Message, rows table, next string) error {
	if err := s.show(msg, rows); err != nil {
		return err
	}
	if s.output == "table" && next != "" {
		fmt.Fprintf(s.terminal.Err, "there are more: repeat with --page-token %s, or use --all\n", clean(next))
	}
	return nil
}

// bounds is --from and --to.
type bounds struct{ from, to string }

func (b *bounds) flags(cmd *cobra.Command, from, to string) {
	cmd.Flags().StringVar(&b.from, "from", "", from)
	cmd.Flags().StringVar(&b.to, "to", "", to)
}

// read gives both, each nil when not told.
func (b *bounds) read(cmd *cobra.Command, location *time.Location) (from, to *timestamppb.Timestamp, err error) {
	if from, err = timeFlag(cmd, "from", b.from, location); err != nil {
		return nil, nil, err
	}
	to, err = timeFlag(cmd, "to", b.to, location)
	return from, to, err
}

// timeFlag reads a flag with a time; nil when it was not given.
func timeFlag(cmd *cobra.Command, flag, text string, location *time.Location) (*timestamppb.Timestamp, error) {
	if !cmd.Flags().Changed(flag) {
		return nil, nil //nolint:nilnil // not told
	}
	t, err := parseTime(text, location)
	if err != nil {
		return nil, usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	return timestamppb.New(t), nil
}
