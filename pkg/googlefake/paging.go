package googlefake

import "strconv"

// offset reads a page token that counts what came before.
func (c *call) offset(name string) (int, *apiError) {
	text := c.form.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(decodeToken(text))
	if err != nil || n < 0 {
		return 0, invalidParameter(name, text)
	}
	return n, nil
}

// pageOf cuts one page out of all and gives the token of the next, "" on the last.
func pageOf[T any](all []T, after, size int) (page []T, next string) {
	after = min(after, len(all))
	end := min(after+size, len(all))
	if end < len(all) {
		next = encodeToken(strconv.Itoa(end))
	}
	return all[after:end], next
}

// platformPage reads pageSize and pageToken of a one-platform list and cuts it out of all.
func platformPage[T any](c *call, all []T, usual, largest int) (items []T, next string, refusal *apiError) {
	size := usual
	if text := c.form.Get("pageSize"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, "", platformInvalid("page_size", "Invalid value for page_size.")
		}
		if n > 0 {
			size = min(n, largest)
		}
	}
	after, bad := c.offset("pageToken")
	if bad != nil {
		return nil, "", platformInvalid("page_token", "Request contains an invalid argument.")
	}
	items, next = pageOf(all, after, size)
	return items, next, nil
}
