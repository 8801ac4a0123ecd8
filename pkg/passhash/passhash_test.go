package passhash

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
)

func TestAPasswordMatchesItsHashAlone(t *testing.T) {
	h := NewHasher()
	hash, err := h.Hash(t.Context(), "Tr0ub4dor&3")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"Tr0ub4dor&3": true, "tr0ub4dor&3": false, "": false} {
		if got, err := h.Matches(t.Context(), password, hash); err != nil || got != want {
			t.Errorf("%q: %t, %v, want %t", password, got, err, want)
		}
	}
}

func TestTheDecoyCostsWhatEveryHashDoesAndIsNobodys(t *testing.T) {
	params, _, _, err := argon2id.DecodeHash(Decoy)
	if err != nil || *params != cost {
		t.Errorf("the decoy costs %+v, %v, want %+v", params, err, cost)
	}
	hash, err := NewHasher().Hash(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if params, _, _, err := argon2id.DecodeHash(hash); err != nil || *params != cost {
		t.Errorf("a hash costs %+v, %v, want %+v", params, err, cost)
	}
	if same, err := NewHasher().Matches(t.Context(), "", Decoy); err != nil || same {
		t.Errorf("the decoy matches: %t, %v", same, err)
	}
}

func TestWhoeverWaitsForHisTurnGoesWhenHisContextEnds(t *testing.T) {
	h := NewHasher()
	for range atOnce {
		leave, err := h.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("hash: %v", err)
	}
	if _, err := h.Matches(ctx, "x", Decoy); !errors.Is(err, context.Canceled) {
		t.Errorf("matches: %v", err)
	}
}

func TestAHashThatDoesNotDecodeIsNotShown(t *testing.T) {
	if _, err := NewHasher().Matches(t.Context(), "x", "$argon2id$secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}
