package bus_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// serve runs a server that tests its guests, until the test ends.
func serve(t *testing.T, o *server.Options) (url string) {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog, o.JetStream, o.StoreDir = "127.0.0.1", server.RANDOM_PORT, true, true, true, t.TempDir()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

// load reads the settings as a program does.
func load(t *testing.T, environ ...string) (bus.Config, error) {
	t.Helper()
	c, err := config.Load[bus.Config](environ)
	c.Name, c.Wait = "test", 2*time.Second
	return c, err
}

// joins tells whether a program with these settings gets in.
func joins(t *testing.T, environ ...string) error {
	t.Helper()
	c, err := load(t, environ...)
	if err != nil {
		t.Fatal(err)
	}
	b := bus.New(c, quiet())
	if err := b.Start(t.Context()); err != nil {
		return err
	}
	return b.Stop(t.Context())
}

func file(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAUserLogsInWithAPasswordFromAFile(t *testing.T) {
	url := serve(t, &server.Options{Username: "gateway", Password: "right horse"})
	if err := joins(t, "NATS_URL="+url, "NATS_USER=gateway", "NATS_PASSWORD_FILE="+file(t, "password", []byte("right horse\n"))); err != nil {
		t.Error(err)
	}
	err := joins(t, "NATS_URL="+url, "NATS_USER=gateway", "NATS_PASSWORD=wrong horse")
	if err == nil || !strings.Contains(err.Error(), "Authorization") || strings.Contains(err.Error(), "horse") {
		t.Errorf("with another password: %v", err)
	}
	if err := joins(t, "NATS_URL="+url); err == nil {
		t.Error("without one it got in")
	}
}

func TestAnNKeyLogsIn(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}})
	if err := joins(t, "NATS_URL="+url, "NATS_NKEY_FILE="+file(t, "seed", seed)); err != nil {
		t.Error(err)
	}
}

// authority signs certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, file(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue makes a certificate and its key, as PEM files.
func (a authority) issue(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func TestBothSidesProveWhoTheyAreByCertificate(t *testing.T) {
	ours, another := newAuthority(t), newAuthority(t)
	cert, key := ours.issue(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, &server.Options{TLS: true, TLSTimeout: 2, TLSVerify: true, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool(),
	}})
	clientCert, clientKey := ours.issue(t)
	if err := joins(t, "NATS_URL="+url, "NATS_CA_FILE="+ours.path, "NATS_CERT_FILE="+clientCert, "NATS_KEY_FILE="+clientKey); err != nil {
		t.Error(err)
	}
	if err := joins(t, "NATS_URL="+url, "NATS_CA_FILE="+another.path, "NATS_CERT_FILE="+clientCert, "NATS_KEY_FILE="+clientKey); err == nil {
		t.Error("a server that another authority vouches for was believed")
	}
	if err := joins(t, "NATS_URL="+url, "NATS_CA_FILE="+ours.path); err == nil {
		t.Error("a program without a certificate got in")
	}
	strangerCert, strangerKey := another.issue(t)
	if err := joins(t, "NATS_URL="+url, "NATS_CA_FILE="+ours.path, "NATS_CERT_FILE="+strangerCert, "NATS_KEY_FILE="+strangerKey); err == nil {
		t.Error("a program that another authority vouches for got in")
	}
}

func TestASettingOfTLSDemandsIt(t *testing.T) {
	url := serve(t, &server.Options{}) // speaks no TLS
	if err := joins(t, "NATS_URL="+url, "NATS_CA_FILE="+newAuthority(t).path); err == nil {
		t.Error("a password would have gone over the wire as it is")
	}
}

func TestWrongSettingsOfTheLoginAreNamedAllAtOnce(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	text := file(t, "text", []byte("SUAHUNTER2 is no seed and no certificate"))
	for _, test := range []struct {
		name    string
		environ []string
		wants   []string // variables
	}{
		{"two ways", []string{"NATS_USER=a", "NATS_PASSWORD=b", "NATS_CREDS=" + text}, []string{"NATS_USER"}},
		{"no password", []string{"NATS_USER=a"}, []string{"NATS_PASSWORD"}},
		{"no user", []string{"NATS_PASSWORD=hunter2"}, []string{"NATS_USER"}},
		{"no files", []string{"NATS_CREDS=" + absent, "NATS_CA_FILE=" + absent}, []string{"NATS_CA_FILE", "NATS_CREDS"}},
		{"no seed", []string{"NATS_NKEY_FILE=" + text}, []string{"NATS_NKEY_FILE"}},
		{"no certificate", []string{"NATS_CA_FILE=" + text, "NATS_CERT_FILE=" + text, "NATS_KEY_FILE=" + text}, []string{"NATS_CA_FILE", "NATS_CERT_FILE"}},
		{"half a pair", []string{"NATS_KEY_FILE=" + text}, []string{"NATS_CERT_FILE"}},
		{"a password in the address", []string{"NATS_URL=nats://h1:4222,nats://gateway:hunter2@h2:4222"}, []string{"NATS_URL"}},
		{"no address", []string{"NATS_URL=nats://gateway:hunter2@[::1:4222"}, []string{"NATS_URL"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, test.environ...)
			var named []string
			for _, p := range config.Problems(err) {
				named = append(named, p.Variable)
			}
			if strings.Join(named, " ") != strings.Join(test.wants, " ") {
				t.Errorf("named %q, want %q: %v", named, test.wants, err)
			}
			if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
				t.Errorf("it shows a secret: %v", err)
			}
		})
	}
}

func TestAPasswordIsShownNowhere(t *testing.T) {
	var log bytes.Buffer
	c, err := load(t, "NATS_URL=nats://127.0.0.1:1", "NATS_USER=gateway", "NATS_PASSWORD=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	c.Wait = 200 * time.Millisecond
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	startErr := bus.New(c, logger).Start(t.Context())
	if startErr == nil {
		t.Fatal("there is no server")
	}
	logger.Info("settings", "bus", c)
	if log.Len() == 0 || strings.Contains(log.String()+startErr.Error(), "hunter2") {
		t.Errorf("the log and the error: %s %v", log.String(), startErr)
	}
}
