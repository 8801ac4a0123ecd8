package natstest_test

import (
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/natstest"
)

func TestEveryTestHasAServerOfItsOwn(t *testing.T) {
	a, b := natstest.New(t), natstest.New(t)
	js, err := jetstream.New(natstest.Connect(t, a))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ONLY_A"}); err != nil {
		t.Fatal(err)
	}
	other, err := jetstream.New(natstest.Connect(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Stream(t.Context(), "ONLY_A"); err == nil {
		t.Fatal("a stream of one test is seen by another")
	}
}

func TestTheServerEndsWithItsTest(t *testing.T) {
	var url string
	t.Run("test", func(t *testing.T) {
		url = natstest.New(t).ClientURL()
		nc, err := nats.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	})
	if c, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://")); err == nil {
		c.Close()
		t.Fatalf("%s still answers", url)
	}
}
