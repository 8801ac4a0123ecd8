package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/embeddedpg"
)

// selfSigned is a certificate for a server at 127.0.0.1 that vouches for itself, as PEM.
func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "postgres.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
}

// secureServer runs a Postgres that demands TLS, until the test ends; cert is the file of its certificate.
func secureServer(t *testing.T) (at, cert string) {
	t.Helper()
	top, err := os.MkdirTemp("", "meet-tls-") // Postgres has a user of its own when root tests
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(top); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := embeddedpg.New(embeddedpg.Config{Dir: filepath.Join(top, "postgres"), BinDir: os.Getenv("MEET_POSTGRES_BIN"), Throwaway: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop := func(ctx context.Context) {
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	data := server.DataDir()
	stop(t.Context())
	certPEM, keyPEM := selfSigned(t)
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no owner")
	}
	for name, text := range map[string][]byte{
		"server.crt": certPEM, "server.key": keyPEM, "postgresql.auto.conf": []byte("ssl = on\n"),
		"pg_hba.conf": []byte("hostnossl meet all 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n"),
	} {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(context.WithoutCancel(t.Context())) })
	cert = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(cert, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL(), cert
}

func TestTheConnectionToPostgresIsSecuredByItsURL(t *testing.T) {
	at, cert := secureServer(t)
	with := func(query url.Values) (Config, error) {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = query.Encode()
		return config.Load[Config]([]string{"DATABASE_URL=" + u.String(), "MEET_POSTGRES_WAIT=1s"})
	}
	c, err := with(url.Values{"sslmode": {"verify-full"}, "sslrootcert": {cert}})
	if err != nil {
		t.Fatal(err)
	}
	s := NewStore(c, slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var secured bool
	if err := s.pool.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&secured); err != nil || !secured {
		t.Errorf("the connection is secured: %t, %v", secured, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}

	other, _ := selfSigned(t)
	wrong := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(wrong, other, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, query := range map[string]url.Values{
		"another authority": {"sslmode": {"verify-full"}, "sslrootcert": {wrong}},
		"no TLS":            {"sslmode": {"disable"}},
	} {
		c, err := with(query)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(t.Context(), c.URL()); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%s: connected", name)
		}
	}
	if _, err := with(url.Values{"sslmode": {"verify-full"}, "sslrootcert": {filepath.Join(t.TempDir(), "absent")}}); err == nil {
		t.Error("a file that is not there is no problem")
	}
}
