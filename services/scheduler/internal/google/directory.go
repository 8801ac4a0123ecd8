package google

import (
	"context"
	"errors"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const (
	// maxPeople bounds the cache of addresses.
	maxPeople = 50_000
	// personKept is how long an address is believed, strangerKept how long that there is none, and refusalKept how long a domain's
	// directory is left alone that refused.
	personKept   = 24 * time.Hour
	strangerKept = time.Hour
	refusalKept  = time.Hour
)

// people remembers who a number is.
type people struct {
	emails  *lru.Cache[string, person] // by users/…
	refused *lru.Cache[string, time.Time]
}

type person struct {
	email string
	until time.Time
}

func newPeople() (*people, error) {
	emails, err := lru.New[string, person](maxPeople)
	if err != nil {
		return nil, err
	}
	refused, err := lru.New[string, time.Time](maxPeople)
	return &people{emails: emails, refused: refused}, err
}

func (p *people) keep(user, email string, long time.Duration) {
	p.emails.Add(user, person{email, time.Now().Add(long)})
}

// domainOf is whose directory an account reads.
func domainOf(account string) string {
	_, domain, _ := strings.Cut(account, "@")
	return strings.ToLower(domain)
}

// KnownEmail is what needs no call.
func (c *Client) KnownEmail(account, user string) (email string, known bool) {
	if p, ok := c.people.emails.Get(user); ok && time.Now().Before(p.until) {
		return p.email, true
	}
	if c.config.Directory == DirectoryOff {
		return "", true
	}
	until, refused := c.people.refused.Get(domainOf(account))
	return "", refused && time.Now().Before(until)
}

// EmailOf asks the directory of the account's domain.
func (c *Client) EmailOf(ctx context.Context, account, user string) (email string, err error) {
	_, email, err = c.person(ctx, account, strings.TrimPrefix(user, "users/"))
	var f *job.Failure
	switch {
	case err == nil:
		c.people.keep(user, email, personKept)
	case errors.As(err, &f) && f.Kind == job.NotFound: // of another domain
		c.people.keep(user, "", strangerKept)
		return "", nil
	}
	return email, err
}

// person reads one entry by number or address; what is refused for good is not asked again for a while.
func (c *Client) person(ctx context.Context, account, key string) (id, email string, err error) {
	err = c.as(ctx, account, account, scopesDirectory, "directory.users.get", func(ctx context.Context, who caller) error {
		// The public view is what every member of the domain may see, without being an administrator.
		call := c.directory.Users.Get(key).ViewType("domain_public").Fields("id,primaryEmail").Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err == nil {
			id, email = found.Id, found.PrimaryEmail
		}
		return err
	})
	var f *job.Failure
	if errors.As(err, &f) && f.Kind == job.Refused {
		c.people.refused.Add(domainOf(account), time.Now().Add(refusalKept))
		c.log.WarnContext(ctx, "the directory refuses, so people who attend are known by name and number", "domain", domainOf(account), "code", f.Code, "error", err)
	}
	return id, email, err
}

// UserOf gives the account's own number, from the directory or else from what Google tells everybody about himself.
func (c *Client) UserOf(ctx context.Context, account string) (string, error) {
	until, refused := c.people.refused.Get(domainOf(account))
	if c.config.Directory != DirectoryOff && (!refused || !time.Now().Before(until)) {
		id, _, err := c.person(ctx, account, account)
		if err == nil {
			c.people.keep("users/"+id, account, personKept)
			return "users/" + id, nil
		}
		var f *job.Failure
		if !errors.As(err, &f) || !f.Permanent() {
			return "", err
		}
	}
	var id string
	err := c.as(ctx, account, account, scopesSelf, "oauth2.userinfo.get", func(ctx context.Context, who caller) error {
		call := c.userinfo.Userinfo.Get().Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err == nil {
			id = found.Id
		}
		return err
	})
	if err == nil && id == "" {
		err = &job.Failure{Kind: job.Refused, Code: CodeAccountUnknown, Message: "Google does not tell the account's number"}
	}
	if err != nil {
		return "", err
	}
	c.people.keep("users/"+id, account, personKept)
	return "users/" + id, nil
}
