// Package command is meetctl's commands: each turns its flags into one call of the public API and shows the answer. It knows
// nothing that another client could not know.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/buildinfo"
)

// Terminal is what a command sees of the world.
type Terminal struct {
	Out, Err io.Writer
	Getenv   func(string) string
	// Zone is the machine's own time zone.
	Zone *time.Location
}

// Exit statuses; also told by `meetctl --help`.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitNotFound    = 4
	exitConflict    = 5
	exitUnavailable = 6
	exitForbidden   = 7
)

const rootHelp = `meetctl makes and manages meetings of a Meet Middleware over its public API.

Exit status: 0 done; 1 failed; 2 wrong use of a flag; 3 the server found an argument wrong; 4 not found;
5 refused in this state (cancelled, changed meanwhile, refused by Google); 6 no answer in time, the outcome is not known;
7 not allowed.`

// Run runs one command line, without the program's name, and returns the exit status.
func Run(ctx context.Context, args []string, terminal Terminal) int {
	root := newRoot(terminal)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	text, code := explain(err)
	fmt.Fprintln(terminal.Err, "meetctl: "+text)
	return code
}

// usageError is a wrong use of flags or arguments, found before anything was asked.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// session is what the flags of every command say.
type session struct {
	terminal Terminal
	server   string
	output   string
	zone     string
	timeout  time.Duration

	tokenFile string
	token     string // the credential; never shown
}

func newRoot(terminal Terminal) *cobra.Command {
	s := &session{terminal: terminal}
	root := &cobra.Command{
		Use: "meetctl", Short: "Make and manage meetings", Long: rootHelp, Version: buildinfo.Version(),
		SilenceUsage: true, SilenceErrors: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("server") {
				if server := terminal.Getenv("MEET_SERVER"); server != "" {
					s.server = server
				}
			}
			if err := s.check(); err != nil {
				return err
			}
			var err error
			s.token, err = s.credential()
			return err
		},
	}
	root.SetOut(terminal.Out)
	root.SetErr(terminal.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; see %s --help", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&s.server, "server", "http://127.0.0.1:8000", "address of the server (also MEET_SERVER)")
	flags.StringVarP(&s.output, "output", "o", "table", "how to show answers: table or json")
	flags.StringVar(&s.zone, "time-zone", "", "IANA time zone of times without an offset, and of those in tables; absent: this machine's")
	flags.DurationVar(&s.timeout, "timeout", time.Minute, "how long one call may take")
	flags.StringVar(&s.tokenFile, "token-file", "", "file with the API key or token to call with; absent: MEETCTL_TOKEN, else MEET_API_KEY")
	complete(root, "output", "table", "json")
	root.AddCommand(newMeetings(s), newRecordings(s), newJobs(s), newOperations(s), newSetup(s), newKeys(s), newAudit(s), newPrivacy(s))
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("%q is not a command of %s; see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
		}
		return cmd.Help()
	}}
	g.AddCommand(commands...)
	return g
}

// one is the argument check of commands about one thing.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("name one %s, as in: %s 12", what, cmd.CommandPath())
		}
		return nil
	}
}

// none is the argument check of commands that take flags alone.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no argument (%q); see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

func complete(cmd *cobra.Command, flag string, values ...string) {
	// Fails only for a flag that does not exist, which the test of completion would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func (s *session) check() error {
	u, err := url.Parse(s.server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return usage("--server: %q is no address; write it as http://127.0.0.1:8000", s.server)
	}
	if !slices.Contains([]string{"table", "json"}, s.output) {
		return usage("--output: %q is not known; use table or json", s.output)
	}
	if s.zone != "" {
		if _, err := time.LoadLocation(s.zone); err != nil || s.zone == "Local" {
			return usage("--time-zone: %q is not known; use an IANA name such as America/Bogota", s.zone)
		}
	}
	if s.timeout <= 0 {
		return usage("--timeout: %s is no time to wait; write as 30s", s.timeout)
	}
	return nil
}

// location of times without an offset.
func (s *session) location() *time.Location {
	if s.zone != "" {
		if location, err := time.LoadLocation(s.zone); err == nil { // checked before the command runs
			return location
		}
	}
	return s.terminal.Zone
}

// options of every client.
var options = []connect.ClientOption{connect.WithProtoJSON(), connect.WithReadMaxBytes(64 << 20)}

func (s *session) meetings() meetv1connect.MeetingServiceClient {
	return meetv1connect.NewMeetingServiceClient(s.client(), s.server, options...)
}

func (s *session) recordings() meetv1connect.RecordingServiceClient {
	return meetv1connect.NewRecordingServiceClient(s.client(), s.server, options...)
}

func (s *session) jobs() meetv1connect.JobServiceClient {
	return meetv1connect.NewJobServiceClient(s.client(), s.server, options...)
}

// errNoAnswer is the cause of a call's ended context.
var errNoAnswer = errors.New("no answer in time")

// call bounds one call.
func (s *session) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.timeout, errNoAnswer)
}

// ask makes a call that changes nothing.
func ask[Req, Resp any](ctx context.Context, s *session, msg *Req, call func(context.Context, *connect.Request[Req]) (*connect.Response[Resp], error)) (*Resp, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	resp, err := call(ctx, connect.NewRequest(msg))
	if err != nil {
		return nil, callError{err: err, server: s.server}
	}
	return resp.Msg, nil
}
