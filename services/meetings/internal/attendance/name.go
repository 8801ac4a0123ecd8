package attendance

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// spelled is a name as a sorted list of its words, without case and accents: "Pérez, María" and maria.perez are the same.
type spelled struct {
	// plain has ü as u, and german as ue; they are equal for most names.
	plain, german []string
}

// titles are no part of a name, and people type them.
var titles = map[string]bool{
	"dr": true, "dra": true, "doctor": true, "doctora": true, "prof": true, "profesor": true, "profesora": true, "lic": true, "ing": true, //nolint:misspell // Spanish
	"mr": true, "mrs": true, "ms": true, "sr": true, "sra": true, "srta": true, "md": true, "phd": true,
}

// particles stand in so many names that they say nothing.
var particles = map[string]bool{
	"de": true, "del": true, "la": true, "las": true, "los": true, "el": true, "da": true, "do": true, "dos": true, "das": true, "di": true,
	"van": true, "von": true, "der": true, "den": true, "al": true, "bin": true, "ben": true, "ibn": true, "san": true,
}

// letters that do not decompose into a letter and an accent.
var (
	plainLetters  = strings.NewReplacer("ł", "l", "ø", "o", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "œ", "oe", "ı", "i", "ħ", "h", "ŧ", "t")
	germanLetters = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "å", "aa", "ø", "oe")
)

// maxWords bounds the work for a name; the longest names that people have are shorter.
const maxWords = 12

// spell reads a name as a person writes it.
func spell(name string) spelled {
	folded := norm.NFC.String(cases.Fold().String(norm.NFKC.String(strings.ToValidUTF8(name, " "))))
	s := spelled{plain: words(folded)}
	if german := germanLetters.Replace(folded); german != folded {
		s.german = words(german)
	} else {
		s.german = s.plain
	}
	return s
}

// spellAddress reads the name that an address is made of; maria.perez+calls@… is maria.perez.
func spellAddress(email string) spelled {
	local := email
	if at := strings.LastIndexByte(email, '@'); at >= 0 {
		local = email[:at]
	}
	local, _, _ = strings.Cut(local, "+")
	return spell(local)
}

func words(folded string) []string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 0x300 && r <= 0x36f, strings.ContainsRune("'’ʼ`´", r):
			return -1 // the accents of Latin, Greek and Cyrillic; marks of other scripts are letters of their words
		}
		return r
	}, norm.NFD.String(plainLetters.Replace(folded)))
	all := strings.FieldsFunc(norm.NFC.String(plain), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r)
	})
	kept := make([]string, 0, len(all))
	for _, w := range all {
		if w = strings.TrimFunc(w, unicode.IsDigit); w != "" { // maria.perez85, "María 2"
			kept = append(kept, w)
		}
	}
	if untitled := slices.DeleteFunc(slices.Clone(kept), func(w string) bool { return titles[w] }); len(untitled) > 0 {
		kept = untitled
	}
	slices.Sort(kept)
	return kept[:min(len(kept), maxWords)]
}

// alike tells how well a name fits another. Both full, or one a part of the other with two words at least: [Likely]. One word, or
// an initial and a word: [Possible].
func alike(a, b spelled) Sureness {
	return max(alikeWords(a.plain, b.plain), alikeWords(a.german, b.german))
}

func alikeWords(a, b []string) Sureness {
	if len(a) == 0 || len(b) == 0 {
		return None
	}
	if contains(a, b) || contains(b, a) {
		return Likely
	}
	if part(a, b) || part(b, a) || initials(a, b) || initials(b, a) {
		return Possible
	}
	return None
}

// contains: each word of few is one of many, or two of them run together, and that makes a full name.
func contains(many, few []string) bool {
	rest := slices.Clone(many)
	weight := 0
	var joined []string
	for _, w := range few {
		i := slices.Index(rest, w)
		if i < 0 {
			joined = append(joined, w)
			continue
		}
		weight += heft(w)
		rest = slices.Delete(rest, i, i+1)
	}
	for _, w := range joined {
		i, j := runTogether(rest, w)
		if i < 0 {
			return false
		}
		weight += heft(rest[i]) + heft(rest[j])
		rest = slices.Delete(rest, max(i, j), max(i, j)+1)
		rest = slices.Delete(rest, min(i, j), min(i, j)+1)
	}
	return weight >= 2
}

// runTogether finds two words that make up w; -1 when there are none.
func runTogether(words []string, w string) (first, second int) {
	for i := range words {
		for j := range words {
			if i != j && len(words[i])+len(words[j]) == len(w) && words[i]+words[j] == w {
				return i, j
			}
		}
	}
	return -1, -1
}

// heft is how much of a full name a word is: 2 make one. Names in scripts that are written without spaces are one word.
func heft(w string) int {
	switch n := utf8.RuneCountInString(w); {
	case n < 2 || particles[w]:
		return 0
	case strings.ContainsFunc(w, unspaced):
		return 2
	}
	return 1
}

func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// part: one is a single word that stands in the other.
func part(many, one []string) bool {
	return len(one) == 1 && telling(one[0]) && slices.Contains(many, one[0])
}

// telling words are not by chance in two names.
func telling(w string) bool { return utf8.RuneCountInString(w) >= 3 && !particles[w] }

// initials: "M. Pérez" or mperez for María Pérez.
func initials(full, short []string) bool {
	if len(short) == 1 {
		for i := range full {
			rest, fits := strings.CutPrefix(short[0], full[i])
			if !fits {
				rest, fits = strings.CutSuffix(short[0], full[i])
			}
			if fits && telling(full[i]) && begins(full, rest, i) {
				return true
			}
		}
		return false
	}
	last, letters := -1, 0
	for _, w := range short {
		if utf8.RuneCountInString(w) == 1 {
			letters++
			continue
		}
		i := slices.Index(full, w)
		if i < 0 {
			return false
		}
		if telling(w) {
			last = i
		}
	}
	if last < 0 || letters == 0 {
		return false
	}
	for _, w := range short {
		if utf8.RuneCountInString(w) == 1 && !begins(full, w, last) {
			return false
		}
	}
	return true
}

// begins: letter is one, and another word than the one at but begins with it.
func begins(words []string, letter string, but int) bool {
	if utf8.RuneCountInString(letter) != 1 {
		return false
	}
	for i, w := range words {
		if i != but && strings.HasPrefix(w, letter) {
			return true
		}
	}
	return false
}
