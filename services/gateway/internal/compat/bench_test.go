package compat

import (
	"net/http/httptest"
	"strings"
	"testing"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

const fullBody = `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example","q@mail.example"],"scheduled_start":"2026-12-01T15:00:00.123456Z",
"scheduled_end":"2026-12-01T15:30:00Z","external_reference":"HIS-4711","auto_record":true,"summary":"Control","time_zone":"America/Bogota"}`

// BenchmarkCreate is what a create costs here: its body read and checked, its answer written.
func BenchmarkCreate(b *testing.B) {
	api, m := newAPI(b, nil), aMeeting()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/api/v1/meetings/", strings.NewReader(fullBody))
		r.Header.Set("Content-Type", "application/json")
		x := &exchange{api: api, w: httptest.NewRecorder(), r: r}
		o, err := x.body()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := api.readCreate(o); err != nil {
			b.Fatal(err)
		}
		x.write(201, meetingOfProto(m))
	}
}

// BenchmarkGet is what a detail costs here.
func BenchmarkGet(b *testing.B) {
	api, m := newAPI(b, nil), aDetail()
	b.ReportAllocs()
	for b.Loop() {
		x := &exchange{api: api, w: httptest.NewRecorder(), r: httptest.NewRequest("GET", "/api/v1/meetings/12/", nil)}
		x.write(200, x.meetingDetail(m))
	}
}

// BenchmarkList100 is what a page of 100 rows costs here.
func BenchmarkList100(b *testing.B) {
	api := newAPI(b, nil)
	rows := make([]*meetv1.MeetingSummary, 100)
	for i := range rows {
		rows[i] = &meetv1.MeetingSummary{
			Id: int64(i), GoogleEventId: "evt1", MeetLink: "https://meet.google.com/abc-defg-hij", OrganizerName: "Ana Ruiz",
			ScheduledStart: at("2026-12-01T15:00:00Z"), Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, CreatedAt: at("2026-11-24T12:00:00.123456Z"),
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		x := &exchange{api: api, w: httptest.NewRecorder(), r: httptest.NewRequest("GET", "/api/v1/meetings/", nil)}
		f, err := x.filters()
		if err != nil {
			b.Fatal(err)
		}
		readListQuery(f)
		x.write(200, each(rows, summaryOfProto))
	}
}
