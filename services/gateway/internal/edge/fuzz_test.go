package edge

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func FuzzCaller(f *testing.F) {
	for _, seed := range []string{"", "1.2.3.4", "6.6.6.6, 10.0.0.2:99", "[2001:db8::1]:7, what", ",,,", "::ffff:10.0.0.1", "fe80::1%eth0"} {
		f.Add(seed)
	}
	o := &observer{proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Fuzz(func(t *testing.T, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = "10.0.0.1:5"
		r.Header[headerForwardedFor] = []string{forwarded}
		got := o.caller(r)
		if got == r.RemoteAddr {
			return
		}
		if ip, err := netip.ParseAddr(got); err != nil || ip.String() != got || ip.Is4In6() {
			t.Errorf("%q names the caller %q", forwarded, got)
		}
	})
}

func FuzzHosts(f *testing.F) {
	for _, seed := range []string{"", "localhost", "meet.example:443", "evil-meet.example", "a.b.example.", "[::1]:80", ":", "]:["} {
		f.Add(seed)
	}
	h := newHosts(Config{AllowedHosts: []string{"meet.example", ".b.example"}})
	f.Fuzz(func(t *testing.T, host string) {
		if !h.allow(host) {
			return
		}
		name := strings.ToLower(strings.TrimSuffix(hostOf(host), "."))
		ip, err := netip.ParseAddr(name)
		switch {
		case name == "meet.example", name == "b.example", strings.HasSuffix(name, ".b.example"):
		case name == "localhost", strings.HasSuffix(name, ".localhost"):
		case err == nil && ip.Unmap().IsLoopback():
		default:
			t.Errorf("%q passed", host)
		}
	})
}
