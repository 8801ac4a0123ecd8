package googlefake

import "testing"

func FuzzFaults(f *testing.F) {
	f.Add([]byte(`[{"match":"POST /calendar/v3/","status":429,"retry_after":1,"latency":"50ms","times":3,"probability":1,"when":"after","reason":"x","message":"y","body":{}}]`))
	f.Add([]byte(`[{"match":"/","status":0}]`))
	f.Add([]byte(`[{"match":"/","status":500,"retry_after":"Wed, 04 Mar 2026 09:00:00 GMT","body":"<html>"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		faults, err := decodeFaults(body)
		if err != nil {
			if e, ok := err.(*fieldError); !ok || e.field == "" { //nolint:errorlint // returned bare
				t.Fatalf("%v names no field", err)
			}
			return
		}
		if err := newFaultSet(1).add(faults); err != nil {
			t.Fatalf("decoded, then refused: %v", err)
		}
		again, err := decodeFaults(mustJSON(faults))
		if err != nil || string(mustJSON(again)) != string(mustJSON(faults)) {
			t.Fatalf("%s does not come back: %s, %v", mustJSON(faults), mustJSON(again), err)
		}
	})
}

func FuzzClock(f *testing.F) {
	f.Add([]byte(`{"advance":"1h"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, _, err := decodeClock(body); err != nil {
			if e, ok := err.(*fieldError); !ok || e.field == "" { //nolint:errorlint // returned bare
				t.Fatalf("%v names no field", err)
			}
		}
	})
}
