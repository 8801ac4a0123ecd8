//go:build container

package containertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const productionHost = "meet.clinic.example"

// productionSettings are those that compose.prod.yaml does not start without.
var productionSettings = []string{
	"MEET_PUBLIC_URL=https://" + productionHost, "ALLOWED_HOSTS=" + productionHost, "MEET_ADMIN_EMAIL=admin@clinic.example", "GOOGLE_WORKSPACE_DOMAINS=clinic.example",
}

// testProduction starts the stack as compose.prod.yaml has it, with secrets made up here. Google itself is never asked.
func testProduction(t *testing.T, r *run) {
	secrets := filepath.Join(t.TempDir(), "secrets")
	if err := os.Mkdir(secrets, 0o700); err != nil {
		t.Fatal(err)
	}
	trusted := makeCertificate(t, secrets)
	makeAccount(t, secrets)
	s := r.stack()
	plain, https := r.freePort(), r.freePort()
	s.project = r.productionName()
	s.files = append(s.files, "deploy/compose/compose.prod.yaml")
	s.environ = append(append(s.environ, productionSettings...), "MEET_SECRETS="+secrets, "MEET_BIND=127.0.0.1", "HTTP_PORT="+plain, "HTTPS_PORT="+https)
	if _, err := execute(r.ctx, r.tree, s.environ, "deploy/compose/secrets.sh"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	defer func() { s.compose("down", "-v") }()
	s.up("--no-build")
	r.note("production stack: up --wait from built images", "", "%s", time.Since(begin).Round(100*time.Millisecond))

	c := newClient("https://" + productionHost)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.http.Jar = jar
	c.http.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			port := https
			if strings.HasSuffix(address, ":80") {
				port = plain
			}
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	ask := func(method, path, body string, status int) answer {
		t.Helper()
		a, err := c.send(r.ctx, method, path, body)
		if err != nil || a.status != status {
			t.Fatalf("%s %s: %s %v, want %d\n%s", method, path, a, err, status, s.tail())
		}
		return a
	}
	c.url = "http://" + productionHost
	if to := ask("GET", "health/", "", 308).header.Get("Location"); to != "https://"+productionHost+"/api/v1/health/" {
		t.Errorf("http leads to %q", to)
	}
	c.url = "https://" + productionHost
	ask("GET", "health/", "", 200)
	if a := ask("GET", "meetings/", "", 401); a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("401 without WWW-Authenticate: %v", a.header)
	}
	ask("POST", "meetings/", visit, 401)

	password, err := os.ReadFile(filepath.Join(secrets, "admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	ask("POST", "auth/login/", `{"username":"admin","password":"`+string(password)+`"}`, 200)
	var key struct{ Secret string }
	if err := ask("POST", "api-keys/", `{"name":"his","role":"service"}`, 201).into(&key); err != nil || key.Secret == "" {
		t.Fatalf("no key: %v", err)
	}
	c.http.Jar, c.key = nil, key.Secret
	ask("GET", "meetings/", "", 200)
	ask("GET", "api-keys/", "", 403)
	noSecretIsTold(s, secrets)
}

// noSecretIsTold checks that the secrets stand in their files only, and neither in what docker inspect tells nor in a log.
func noSecretIsTold(s *stack, folder string) {
	s.t.Helper()
	ids := []string(nil)
	for _, c := range s.containers("") {
		ids = append(ids, c.ID)
	}
	told := s.docker(append([]string{"inspect"}, ids...)...) + s.compose("logs", "--no-color") + s.compose("config")
	files, err := os.ReadDir(folder)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		if file.Name() == "tls-certificate.pem" { // for everybody to see
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, secret := range secretText.FindAllString(string(text), -1) {
			if strings.Contains(told, secret) {
				s.t.Errorf("%s is told by docker inspect, by a log or by docker compose config", file.Name())
			}
		}
	}
}

// secretText is what a password and a line of a key have in common.
var secretText = regexp.MustCompile(`[A-Za-z0-9+/]{40,}`)

// makeCertificate makes a certificate for the host that signs itself, and gives what trusts it.
func makeCertificate(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{productionHost}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	err = errors.Join(
		os.WriteFile(filepath.Join(folder, "tls-certificate.pem"), certificate, 0o600),
		os.WriteFile(filepath.Join(folder, "tls-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	return trusted
}

// makeAccount makes the key of a service account that nobody knows.
func makeAccount(t *testing.T, folder string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "meet-test", "client_id": "1", "private_key_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"client_email": "meet@meet-test.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "google-service-account.json"), account, 0o600); err != nil {
		t.Fatal(err)
	}
}
