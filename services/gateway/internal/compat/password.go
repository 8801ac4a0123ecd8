package compat

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed" // for the list of common passwords
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/passhash"
)

//go:embed assets/common-passwords.txt.gz
var commonPasswords []byte

// minPassword is the shortest password, in characters.
const minPassword = 8

// passwords judges and hashes passwords.
type passwords struct {
	common map[string]struct{}
	hasher *passhash.Hasher
}

func newPasswords() (*passwords, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(commonPasswords))
	if err != nil {
		return nil, fmt.Errorf("read the common passwords: %w", err)
	}
	list, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, fmt.Errorf("read the common passwords: %w", err)
	}
	p := &passwords{common: make(map[string]struct{}, 12_000), hasher: passhash.NewHasher()}
	for word := range strings.Lines(string(list)) {
		p.common[strings.TrimSuffix(word, "\n")] = struct{}{}
	}
	return p, nil
}

// hash makes the argon2id hash in PHC string format; it waits for its turn until ctx ends.
func (p *passwords) hash(ctx context.Context, chosen string) (string, error) {
	hash, err := p.hasher.Hash(ctx, chosen)
	if err != nil && errors.Is(err, ctx.Err()) {
		return "", fault.New(fault.Unavailable, string(unavailable), "too many passwords are being hashed; try again").WithCause(context.Cause(ctx))
	}
	return hash, err
}

// weaknesses is what is wrong with a new password of a user, by the rules that Django applies, in its order.
func (p *passwords) weaknesses(field, password, username, email, firstName, lastName string) []fault.Field {
	var faults []fault.Field
	for _, known := range []struct{ value, es, en string }{
		{username, "nombre de usuario", "username"},
		{firstName, "nombre", "first name"},
		{lastName, "apellidos", "last name"},
		{email, "dirección de correo electrónico", "email address"},
	} {
		if similar(password, known.value) {
			faults = append(faults, wrong(field, passwordSimilar, "attribute_es", known.es, "attribute_en", known.en))
			break
		}
	}
	if utf8.RuneCountInString(password) < minPassword {
		faults = append(faults, wrong(field, passwordTooShort, "min", strconv.Itoa(minPassword)))
	}
	if _, common := p.common[strings.ToLower(strings.TrimSpace(password))]; common {
		faults = append(faults, wrong(field, passwordTooCommon))
	}
	if strings.IndexFunc(password, func(r rune) bool { return !unicode.IsDigit(r) }) < 0 {
		faults = append(faults, wrong(field, passwordNumeric))
	}
	return faults
}

// maxSimilarity is how much of a password may be made of the letters of a name.
const maxSimilarity = 0.7

// words is what Django's \W+ splits at.
var words = regexp.MustCompile(`[^\p{L}\p{N}_]+`)

// similar tells whether password is like value or one of its words, as Django's UserAttributeSimilarityValidator does.
func similar(password, value string) bool {
	if value == "" {
		return false
	}
	password, value = strings.ToLower(password), strings.ToLower(value)
	for _, part := range append(words.Split(value, -1), value) {
		if tooLongToCompare(password, part) {
			continue
		}
		if quickRatio(password, part) >= maxSimilarity {
			return true
		}
	}
	return false
}

// tooLongToCompare tells whether a password is so much longer than part that they cannot be alike.
func tooLongToCompare(password, part string) bool {
	const bound = maxSimilarity / 2
	long, short := utf8.RuneCountInString(password), utf8.RuneCountInString(part)
	return short == 0 || long >= 10*short && float64(short) < bound*float64(long)
}

// quickRatio is twice the number of letters that a and b share over the number of all: Python's SequenceMatcher.quick_ratio.
func quickRatio(a, b string) float64 {
	have := map[rune]int{}
	for _, r := range b {
		have[r]++
	}
	shared, all := 0, utf8.RuneCountInString(b)
	for _, r := range a {
		all++
		if have[r] > 0 {
			have[r]--
			shared++
		}
	}
	return 2 * float64(shared) / float64(all)
}
