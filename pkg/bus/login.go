package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// Login is how a program shows NATS who it is, and knows NATS.
type Login struct {
	User     string        `env:"NATS_USER" help:"who logs in; absent: nobody does"`
	Password config.Secret `env:"NATS_PASSWORD" help:"of NATS_USER"`
	Creds    string        `env:"NATS_CREDS" help:"path of a .creds file, in place of NATS_USER"`
	NKeyFile string        `env:"NATS_NKEY_FILE" help:"path of a file with an nkey seed, in place of NATS_USER"`
	CAFile   string        `env:"NATS_CA_FILE" help:"path of the PEM certificates that NATS's own is checked against, which also demands TLS; absent: the machine's, and TLS only where NATS_URL says tls:// or the server demands it"`
	CertFile string        `env:"NATS_CERT_FILE" help:"path of the PEM certificate that this program shows NATS"`
	KeyFile  string        `env:"NATS_KEY_FILE" help:"path of the PEM key of NATS_CERT_FILE"`
}

// Check names what contradicts itself, and files that can't be used.
func (l Login) Check() error {
	var errs []error
	ways := 0
	for _, way := range []string{l.User, l.Creds, l.NKeyFile} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, config.Bad("NATS_USER", "is not the only way to log in to NATS that is set", "set one of NATS_USER, NATS_CREDS and NATS_NKEY_FILE"))
	}
	switch {
	case l.User != "" && l.Password == "":
		errs = append(errs, config.Bad("NATS_PASSWORD", "is not set while NATS_USER is", "write the password of "+l.User+" to a file and name it in NATS_PASSWORD_FILE"))
	case l.User == "" && l.Password != "":
		errs = append(errs, config.Bad("NATS_USER", "is not set while NATS_PASSWORD is", "name the user whose password it is"))
	}
	if _, err := l.tls(); err != nil {
		errs = append(errs, err)
	}
	if l.NKeyFile != "" {
		if _, err := nats.NkeyOptionFromSeed(l.NKeyFile); err != nil { // its error may quote the file
			errs = append(errs, config.Bad("NATS_NKEY_FILE", "can't be read, or holds no nkey seed", "name a file that holds one line, which starts with SU"))
		}
	}
	if l.Creds != "" {
		if err := readable(l.Creds); err != nil {
			errs = append(errs, config.Bad("NATS_CREDS", "can't be read: "+err.Error(), "name a .creds file"))
		}
	}
	return errors.Join(errs...)
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// tls is nil where no setting speaks of it: the server decides then.
func (l Login) tls() (*tls.Config, error) {
	if l.CAFile == "" && l.CertFile == "" && l.KeyFile == "" {
		return nil, nil //nolint:nilnil // no setting is no failure
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var errs []error
	if l.CAFile != "" {
		text, err := os.ReadFile(l.CAFile)
		c.RootCAs = x509.NewCertPool()
		if err != nil {
			errs = append(errs, config.Bad("NATS_CA_FILE", "can't be read: "+err.Error(), "name a file of PEM certificates"))
		} else if !c.RootCAs.AppendCertsFromPEM(text) {
			errs = append(errs, config.Bad("NATS_CA_FILE", "holds no PEM certificate", "name a file of PEM certificates"))
		}
	}
	switch {
	case l.CertFile == "" && l.KeyFile == "":
	case l.CertFile == "" || l.KeyFile == "":
		errs = append(errs, config.Bad("NATS_CERT_FILE", "and NATS_KEY_FILE belong together", "set both or none"))
	default:
		pair, err := tls.LoadX509KeyPair(l.CertFile, l.KeyFile)
		if err != nil {
			errs = append(errs, config.Bad("NATS_CERT_FILE", "and NATS_KEY_FILE can't be used: "+err.Error(), "name a PEM certificate and its own key"))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, errors.Join(errs...)
}

// options log in. Files are read again at each connect, where the library does so: credentials may change while a program runs.
func (l Login) options() ([]nats.Option, error) {
	var opts []nats.Option
	switch {
	case l.Creds != "":
		opts = append(opts, nats.UserCredentials(l.Creds))
	case l.NKeyFile != "":
		seed, err := nats.NkeyOptionFromSeed(l.NKeyFile)
		if err != nil {
			return nil, errors.New("NATS_NKEY_FILE can't be read, or holds no nkey seed")
		}
		opts = append(opts, seed)
	case l.User != "":
		opts = append(opts, nats.UserInfo(l.User, l.Password.Reveal()))
	}
	secure, err := l.tls()
	if err != nil {
		return nil, err
	}
	if secure != nil {
		opts = append(opts, nats.Secure(secure))
	}
	return opts, nil
}

// checkURL refuses a password in the address, which is shown in logs.
func checkURL(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil { // its text would quote the address
			return config.Bad("NATS_URL", "is no address", "write as nats://127.0.0.1:4222")
		}
		if u.User != nil {
			return config.Bad("NATS_URL", "holds who logs in", "use NATS_USER and NATS_PASSWORD_FILE, and an address alone")
		}
	}
	return nil
}
