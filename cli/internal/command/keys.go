package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
)

func (s *session) access() meetv1connect.AccessServiceClient {
	return meetv1connect.NewAccessServiceClient(s.client(), s.server, options...)
}

var roles = []string{"admin", "service", "external"}

func newKeys(s *session) *cobra.Command {
	return group("keys", "Make and end the API keys that programs call with", newKeyList(s), newKeyCreate(s), newKeyRotate(s), newKeyRevoke(s))
}

func newKeyList(s *session) *cobra.Command {
	var req meetv1.ListKeysRequest
	var pages paging
	cmd := &cobra.Command{
		Use: "list", Short: "List keys, newest first", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			whole := &meetv1.ListKeysResponse{}
			next, err := pages.collect(func(size int32, token string) (string, error) {
				req.PageSize, req.PageToken = size, token
				page, err := ask(cmd.Context(), s, &req, s.access().ListKeys)
				whole.Keys = append(whole.Keys, page.GetKeys()...)
				return page.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			whole.NextPageToken = next
			rows := table{{"PREFIX", "NAME", "ROLE", "STATE", "SCOPES", "CREATED", "EXPIRES", "LAST USED"}}
			for _, k := range whole.GetKeys() {
				rows = append(rows, []string{
					k.GetPrefix(), k.GetName(), word(k.GetRole(), "USER_ROLE_"), k.GetState(), orAll(k.GetScopes()), s.time(k.GetCreatedAt()), s.time(k.GetExpiresAt()), s.time(k.GetLastUsedAt()),
				})
			}
			return s.showPage(whole, rows, next)
		},
	}
	cmd.Flags().BoolVar(&req.IncludeEnded, "ended", false, "also those that are expired or revoked")
	cmd.Flags().Int64Var(&req.UserId, "user", 0, "only of the user with this number")
	pages.flags(cmd)
	return cmd
}

func orAll(scopes []string) string {
	if len(scopes) == 0 {
		return "all"
	}
	return strings.Join(scopes, " ")
}

func newKeyCreate(s *session) *cobra.Command {
	var c change
	var role, expires, file string
	req := &meetv1.CreateKeyRequest{}
	cmd := &cobra.Command{
		Use: "create", Short: "Make a key; its secret is shown this once", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(oneOf("--role", role, roles), oneOf("--mode", req.GetMode(), []string{"live", "test"})); err != nil {
				return err
			}
			req.Role = meetv1.UserRole(meetv1.UserRole_value["USER_ROLE_"+strings.ToUpper(role)])
			var err error
			if req.ExpiresAt, err = timeFlag(cmd, "expires", expires, s.location()); err != nil {
				return err
			}
			made, err := send(cmd.Context(), s, c, req, s.access().CreateKey)
			if err != nil {
				return err
			}
			return s.made(made, file)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&req.Name, "name", "", "what it is for (required)")
	flags.StringVar(&role, "role", "service", strings.Join(roles, ", "))
	flags.Int64Var(&req.UserId, "user", 0, "number of the user whose meetings an external key sees")
	flags.StringArrayVar(&req.Scopes, "scope", nil, "what of its role it may do, such as meetings:read; again for each; absent: all")
	flags.StringVar(&expires, "expires", "", "when it ends by itself; absent: never")
	flags.StringVar(&req.Mode, "mode", "", "live or test; absent: live")
	flags.StringVar(&file, "secret-file", "", "write the secret to this new file, which only you read, in place of the terminal")
	require(cmd, "name")
	complete(cmd, "role", roles...)
	complete(cmd, "mode", "live", "test")
	c.keyFlag(cmd)
	return cmd
}

func newKeyRotate(s *session) *cobra.Command {
	var c change
	var overlap time.Duration
	var expires, file string
	cmd := &cobra.Command{
		Use: "rotate KEY", Short: "Make a key that takes another's place, which goes on for a while", Args: one("key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &meetv1.RotateKeyRequest{Key: args[0]}
			if cmd.Flags().Changed("overlap") {
				seconds := int64(overlap / time.Second)
				req.OverlapSeconds = &seconds
			}
			var err error
			if req.ExpiresAt, err = timeFlag(cmd, "expires", expires, s.location()); err != nil {
				return err
			}
			made, err := send(cmd.Context(), s, c, req, s.access().RotateKey)
			if err != nil {
				return err
			}
			return s.made(made, file)
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the one before goes on, up to 720h")
	cmd.Flags().StringVar(&expires, "expires", "", "when the new one ends; absent: it lives as long as the one before was given")
	cmd.Flags().StringVar(&file, "secret-file", "", "write the secret to this new file, which only you read, in place of the terminal")
	c.keyFlag(cmd)
	return cmd
}

func newKeyRevoke(s *session) *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use: "revoke KEY", Short: "End a key at once", Args: one("key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := send(cmd.Context(), s, c, &meetv1.RevokeKeyRequest{Key: args[0]}, s.access().RevokeKey)
			if err != nil {
				return err
			}
			return s.show(k, s.keyRows(k))
		},
	}
	c.keyFlag(cmd)
	return cmd
}

// made shows a new key, and its secret where no file takes it.
func (s *session) made(made *meetv1.CreateKeyResponse, file string) error {
	rows := s.keyRows(made.GetKey())
	switch {
	case made.GetSecret() == "":
		rows = append(rows, []string{"secret", "was shown when the key was made; rotate it when it is lost"})
	case file != "":
		if err := writeSecret(file, made.GetSecret()); err != nil {
			return fmt.Errorf("%w; the key %s was made: rotate or revoke it", err, made.GetKey().GetPrefix())
		}
		made.Secret = ""
		rows = append(rows, []string{"secret", "in " + file})
	default:
		rows = append(rows, []string{"secret", made.GetSecret()}, []string{"", "keep it now: it is not shown again"})
	}
	return s.show(made, rows)
}

func (s *session) keyRows(k *meetv1.ApiKey) table {
	return table{
		{"key", k.GetPrefix()},
		{"id", k.GetUid()},
		{"name", k.GetName()},
		{"role", word(k.GetRole(), "USER_ROLE_")},
		{"user", number(k.GetUserId())},
		{"scopes", orAll(k.GetScopes())},
		{"state", k.GetState()},
		{"created", s.time(k.GetCreatedAt())},
		{"expires", s.time(k.GetExpiresAt())},
		{"revoked", s.time(k.GetRevokedAt())},
	}
}
