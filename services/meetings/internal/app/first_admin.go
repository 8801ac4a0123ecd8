package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/passhash"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
)

// AdminConfig names the first admin.
type AdminConfig struct {
	Username string        `env:"MEET_ADMIN_USERNAME" help:"of the first admin, made at start where no such user is; absent: DJANGO_SUPERUSER_USERNAME"`
	Email    string        `env:"MEET_ADMIN_EMAIL" help:"of the first admin; absent: DJANGO_SUPERUSER_EMAIL"`
	Password config.Secret `env:"MEET_ADMIN_PASSWORD" help:"of the first admin; absent: DJANGO_SUPERUSER_PASSWORD"`

	DjangoUsername string        `env:"DJANGO_SUPERUSER_USERNAME" help:"the name that the original used for MEET_ADMIN_USERNAME"`
	DjangoEmail    string        `env:"DJANGO_SUPERUSER_EMAIL" help:"the name that the original used for MEET_ADMIN_EMAIL"`
	DjangoPassword config.Secret `env:"DJANGO_SUPERUSER_PASSWORD" help:"the name that the original used for MEET_ADMIN_PASSWORD"`
}

// wanted resolves the two sets of names; username is empty when no admin was asked for.
func (c AdminConfig) wanted() (username, email string, password config.Secret) {
	username, email, password = c.Username, c.Email, c.Password
	if username == "" {
		username = c.DjangoUsername
	}
	if email == "" {
		email = c.DjangoEmail
	}
	if password.Reveal() == "" {
		password = c.DjangoPassword
	}
	return username, email, password
}

// Check wants all three or none.
func (c AdminConfig) Check() error {
	username, email, password := c.wanted()
	given := 0
	for _, v := range []string{username, email, password.Reveal()} {
		if v != "" {
			given++
		}
	}
	if given != 0 && given != 3 {
		return config.Bad("MEET_ADMIN_USERNAME", "needs MEET_ADMIN_EMAIL and MEET_ADMIN_PASSWORD beside it", "set all three, or none")
	}
	return nil
}

// MakeFirstAdmin makes the admin that the settings ask for, unless a user of that name or address is there.
func (p *Processor) MakeFirstAdmin(ctx context.Context, reads Reads, c AdminConfig) error {
	username, email, chosen := c.wanted()
	if username == "" {
		return nil
	}
	for _, f := range []UserFilter{{UsernamePart: username}, {EmailPart: email}} {
		f.Inactive, f.Limit = true, likeNamed
		users, err := reads.ListUsers(ctx, f)
		if err != nil {
			return fmt.Errorf("look for the first admin: %w", err)
		}
		for i := range users {
			if users[i].Username == username || account.EmailKey(users[i].Email) == account.EmailKey(email) {
				return nil // before the password is hashed, which is meant to be dear
			}
		}
	}
	hash, err := passhash.NewHasher().Hash(ctx, chosen.Reveal())
	if err != nil {
		return errors.New("the first admin's password could not be hashed")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make a command id: %w", err)
	}
	command := &Command{
		ID: id, Kind: "user.create", Principal: "system", Actor: System,
		Do: &CreateUser{Username: username, Email: email, Role: account.Admin, PasswordHash: hash},
	}
	p.Process(ctx, []*Command{command})
	switch {
	case command.Err != nil:
		return fmt.Errorf("make the first admin: %w", command.Err)
	case command.Refusal != nil && command.Refusal.Kind != fault.AlreadyExists: // made by another instance, or beyond likeNamed
		return fmt.Errorf("make the first admin: %w", command.Refusal)
	}
	return nil
}

// likeNamed is how many users of similar names are looked at.
const likeNamed = 100
