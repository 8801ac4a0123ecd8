// Package browsertest opens pages in the machine's own Chromium, so that a test sees what a person sees: scripts run, policies
// are enforced, and a request to an outside host is a failure. A browser that is missing is a named skip, and an error in CI.
package browsertest

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds one test's whole browsing.
const patience = time.Minute

// Page is a tab that remembers what went wrong in it.
type Page struct {
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in its context

	mu       sync.Mutex
	troubles []string
}

// Open starts a browser for one test and opens address in it.
func Open(t *testing.T, address string, actions ...chromedp.Action) *Page {
	t.Helper()
	binary := find(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 1600),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits for the browser's end; the test has its answers
	p := &Page{ctx: ctx}
	own, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	chromedp.ListenTarget(ctx, func(event any) { p.watch(own.Host, event) })
	if err := chromedp.Run(ctx, append([]chromedp.Action{network.Enable(), log.Enable(), chromedp.Navigate(address)}, actions...)...); err != nil {
		t.Fatalf("open %s: %v", address, err)
	}
	return p
}

// watch notes what a person at the console would see as trouble.
func (p *Page) watch(host string, event any) {
	trouble := ""
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != host {
			trouble = "request to an outside host: " + e.Request.URL
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 && !strings.HasSuffix(e.Response.URL, "/favicon.ico") {
			trouble = "refused: " + e.Response.URL
		}
	case *runtime.EventExceptionThrown:
		trouble = "script failed: " + e.ExceptionDetails.Error()
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError && !strings.HasSuffix(e.Entry.URL, "/favicon.ico") {
			trouble = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if trouble != "" {
		p.mu.Lock()
		p.troubles = append(p.troubles, trouble)
		p.mu.Unlock()
	}
}

// Run does more on the page.
func (p *Page) Run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// Clean fails the test for every trouble so far.
func (p *Page) Clean(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, trouble := range p.troubles {
		t.Error(trouble)
	}
}

// find is the machine's Chromium.
func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no Chromium on this machine (Debian: apt-get install chromium)")
	}
	t.Skip("no Chromium on this machine (Debian: apt-get install chromium)")
	return ""
}
