package postgres_test

import (
	"os"
	"regexp"
	"testing"
)

// TestTheRunbooksStatementsRun keeps whoever is called at night from finding that a column has another name by now.
func TestTheRunbooksStatementsRun(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/runbooks/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	i := newInstance(t)
	ran := 0
	for _, line := range regexp.MustCompile(`(?m)^docker compose exec db psql .*$`).FindAllString(string(text), -1) {
		for _, m := range regexp.MustCompile(`-c "([^"]+)"`).FindAllStringSubmatch(line, -1) {
			ran++
			i.exec(t, m[1])
		}
	}
	if ran < 8 {
		t.Errorf("%d statements were found", ran)
	}
}
