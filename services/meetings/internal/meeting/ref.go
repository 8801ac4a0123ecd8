package meeting

import (
	"net/url"
	"strconv"
	"strings"
)

// Ref names a meeting by its number or, where UID is set, by its uid.
type Ref struct {
	ID  ID
	UID string
}

const uidLength = len("00000000-0000-7000-8000-000000000000")

// ParseRef reads what a client calls a meeting: a number or a uid. [ErrNotFound] for anything else.
func ParseRef(s string) (Ref, error) {
	if id, err := strconv.ParseInt(s, 10, 64); err == nil && id > 0 {
		return Ref{ID: ID(id)}, nil
	}
	if len(s) != uidLength {
		return Ref{}, ErrNotFound
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return Ref{}, ErrNotFound
		}
	}
	return Ref{UID: strings.ToLower(s)}, nil
}

// CodeOf is the meeting code in a Meet link, whatever else stands in it; empty where there is none.
func CodeOf(link string) string {
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil {
		return ""
	}
	path := strings.TrimRight(u.Path, "/")
	return strings.ToLower(path[strings.LastIndexByte(path, '/')+1:])
}
