package compat

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

func TestTimesAreReadInEveryFormThatClientsSend(t *testing.T) {
	for in, want := range map[string]string{
		"2026-12-01T15:00:00Z":             "2026-12-01T15:00:00Z",
		"2026-12-01T15:00:00.123456Z":      "2026-12-01T15:00:00.123456Z",
		"2026-12-01T15:00:00.123456789Z":   "2026-12-01T15:00:00.123456Z",
		"2026-12-01T15:00:00.5-05:00":      "2026-12-01T20:00:00.5Z",
		"2026-12-01T15:00:00":              "2026-12-01T15:00:00Z",
		"2026-12-01T15:00":                 "2026-12-01T15:00:00Z",
		"2026-12-01 15:00":                 "2026-12-01T15:00:00Z",
		"2026-12-01 15:00:30.25":           "2026-12-01T15:00:30.25Z",
		"2026-12-01 15:00:00+0530":         "2026-12-01T09:30:00Z",
		"2026-12-01 15:00:00 -05":          "2026-12-01T20:00:00Z",
		"2026-12-01t15:00:00z":             "2026-12-01T15:00:00Z",
		"2026-12-01T15:00:00,5Z":           "2026-12-01T15:00:00.5Z",
		"2026-1-2 3:04":                    "2026-01-02T03:04:00Z",
		"2026-12-01":                       "2026-12-01T00:00:00Z",
		" 2026-12-01T15:00:00Z ":           "2026-12-01T15:00:00Z",
		"1999-12-31T23:59:59+14:00":        "1999-12-31T09:59:59Z",
		"2026-12-01T15:00:00.000000+00:00": "2026-12-01T15:00:00Z",
	} {
		got, why := parseTime(in)
		if why != "" || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %s (%s), want %s", in, got.Format(time.RFC3339Nano), why, want)
		}
	}
	for in, want := range map[string]reason{
		"": notATime, "tomorrow": notATime, "2026-02-29T10:00:00Z": notATime, "2026-13-01T10:00:00Z": notATime, "2026-12-01T24:00:00Z": notATime, "2026-12-01T10:60": notATime,
		"2026-12-01T10:00:00+25:00": notATime, "2026-12-01T10:00:00+05:75": notATime, "1764601200": notATime, "2026-12-01T10": notATime, "2026-12-01T10:00:00 America/Bogota": notATime,
		"2026-12-01T10:00:00+24:00": notATime, "2026-12-01T10:00:00-24:00": notATime,
		"0000-01-01T00:00:00Z": timeOutOfRange, "0001-01-01T00:00:00Z": timeOutOfRange, "0001-01-01T05:30:00+05:30": timeOutOfRange, "0001-01-01T00:00:00+01:00": timeOutOfRange, "9999-12-31T23:59:59-01:00": timeOutOfRange,
	} {
		if got, why := parseTime(in); why != want {
			t.Errorf("%q is %s (%q), want %q", in, got, why, want)
		}
	}
}

func TestAddressesAreTakenAsDjangoTakesThem(t *testing.T) {
	for _, good := range []string{
		"a@b.co", "first.last+tag@sub.mail.example", "o'brien@clinic.example", "x@localhost", "A_1@EXAMPLE.COM", "a@b-c.example", "a@1.2.3.example", "a@xn--caf-dma.example",
		strings.Repeat("a", 64) + "@b.co",
	} {
		if !isEmail(good) {
			t.Errorf("%s is refused", good)
		}
	}
	for _, wrong := range []string{
		"", "a", "@b.co", "a@", "a@b", "a b@c.co", "a@b..co", ".a@b.co", "a.@b.co", "a..b@c.co", "a@-b.co", "a@b-.co", "a@b.c", "a@b.co-", "a@@b.co", "a@b_c.co", "a@[127.0.0.1]", `"a b"@c.co`,
		"a@b.co\n", "a@b.co.", "ñ@b.co", "a@ñandú.example", "a\x00@b.co", strings.Repeat("a", maxEmail) + "@b.co",
	} {
		if isEmail(wrong) {
			t.Errorf("%q passes", wrong)
		}
	}
}

func TestWhatPassesAsAnAddressPassesTheRulesOfTheProto(t *testing.T) {
	api := newAPI(t, nil)
	for _, address := range []string{"a@b.co", "x@localhost", "o'brien!#$%&*+/=?^_`{|}~-@clinic.example"} {
		if _, err := api.readCreate(object{"organizer_email": encoded(t, address), "invited_emails": encoded(t, []string{address})}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func encoded(t *testing.T, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestHalfASurrogatePairIsNoText(t *testing.T) {
	for in, want := range map[string]bool{
		`{"a":"\ud83d\ude00"}`: false, `{"a":"\ud83d"}`: true, `{"a":"\ude00"}`: true, `{"a":"\ud83dx\ude00"}`: true, `{"a":"\ud83d\ud83d\ude00"}`: true,
		`{"a":"\\ud83d"}`: false, `{"a":"\\\ud83d"}`: true, `{"a":"\u0041\ud83d\ude00"}`: false, `{"a":"\u0041\ud83d"}`: true, `{"\udfff":1}`: true, `{"a":"\uD83D\uDE00 ud83d"}`: false,
	} {
		if got := loneSurrogate([]byte(in)); got != want {
			t.Errorf("%s: %t", in, got)
		}
	}
}

func TestTagsAreSplit(t *testing.T) {
	for in, want := range map[string][]string{
		`"1"`: {`"1"`}, `"1", W/"2" ,"3,4"`: {`"1"`, `W/"2"`, `"3,4"`}, `*`: {"*"}, `1, 2`: {"1", "2"}, `"open`: {`"open`}, `W/`: {"W/"}, ``: nil, ` , ,`: nil, `W/"`: {`W/"`},
	} {
		if got := etags([]string{in}); !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
}

func TestTheOnlyPatternOfARequestIsTheUsername(t *testing.T) {
	for _, message := range []string{"CreateMeetingRequest", "MeetingPatch", "UpdateMeetingRequest", "UserPatch", "CreateUserRequest"} {
		file := meetv1.File_meet_v1_user_proto.Messages()
		if strings.Contains(message, "Meeting") {
			file = meetv1.File_meet_v1_meeting_proto.Messages()
		}
		descriptor := file.Get(0)
		for i := range file.Len() {
			if string(file.Get(i).Name()) == message {
				descriptor = file.Get(i)
			}
		}
		for i := range descriptor.Fields().Len() {
			name := string(descriptor.Fields().Get(i).Name())
			if rules := rulesAt(descriptor, name); (rules.GetString().GetPattern() != "") != (message == "CreateUserRequest" && name == "username") {
				t.Errorf("%s.%s has the pattern %q", message, name, rules.GetString().GetPattern())
			}
		}
	}
}

// refusedFairly fails when err is anything but what a client did wrong.
func refusedFairly(t *testing.T, api *API, err error) {
	t.Helper()
	if err == nil {
		return
	}
	w := httptest.NewRecorder()
	api.Refuse(w, httptest.NewRequest("POST", "/api/v1/meetings/", nil), err)
	if w.Code != 400 || !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) {
		t.Errorf("answered %d %s to %v", w.Code, w.Body, err)
	}
	var byHTTP *refusal
	if !errors.As(err, &byHTTP) && fault.KindOf(err) != fault.Invalid {
		t.Errorf("is %v", err)
	}
}

func FuzzCreateBody(f *testing.F) {
	for _, seed := range []string{
		minimalBody, `{}`, `[]`, `null`, `{"organizer_email":1e400,"invited_emails":[[],{},null,"a@b.co"],"scheduled_start":"2026-12-01 15:00"}`, `{"summary":"\ud83d\ude00\u0000"}`,
		`{"organizer_email":"a@b.co","invited_emails":["p@mail.example"],"scheduled_start":"2026-12-01T15:00:00.123456Z","scheduled_end":"9999-12-31T23:59:59Z","time_zone":"America/Bogota","auto_record":"yes","recurrence":[]}`,
	} {
		f.Add([]byte(seed))
	}
	api := newAPI(f, nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseObject(raw)
		if err == nil {
			var req *meetv1.CreateMeetingRequest
			if req, err = api.readCreate(o); err == nil {
				if _, err := protojson.Marshal(req); err != nil {
					t.Errorf("the command does not encode: %v", err)
				}
			}
		}
		refusedFairly(t, api, err)
	})
}

func FuzzPatchBody(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"status":"CANCELLED"}`, `{"scheduled_start":null,"scheduled_end":"2026-12-01T15:00:00+05:00"}`, `{"invited_emails":["a@b.co"]}`,
		`{"invited_emails":{"add":["a@b.co"],"remove":["x"]}}`, `{"invited_emails":{"add":{},"remove":null}}`, `{"summary":"","description":"\t"}`,
	} {
		f.Add([]byte(seed))
	}
	api := newAPI(f, nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseObject(raw)
		if err == nil {
			var p *patch
			if p, err = api.readPatch("12", o); err == nil {
				if _, err := protojson.Marshal(p.UpdateMeetingRequest); err != nil {
					t.Errorf("the command does not encode: %v", err)
				}
			}
		}
		refusedFairly(t, api, err)
	})
}

func FuzzListQuery(f *testing.F) {
	for _, seed := range []string{
		"", "organizer=1&status=CREATED&limit=5", "scheduled_start__gte=2026-12-01T10:00:00+02:00", "page_token=%00&invited_email=a@b.co", "status=%zz;x", "recording_state=missing&limit=-1",
	} {
		f.Add(seed)
	}
	api := newAPI(f, nil)
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest("GET", "/api/v1/meetings/", nil)
		r.URL.RawQuery = raw
		x := &exchange{api: api, w: httptest.NewRecorder(), r: r}
		filters, err := x.filters()
		if err == nil {
			req := readListQuery(filters)
			if err = filters.err(); err == nil {
				if _, err := protojson.Marshal(req); err != nil {
					t.Errorf("the query does not encode: %v", err)
				}
				x.next("t")
			}
		}
		refusedFairly(t, api, err)
	})
}
