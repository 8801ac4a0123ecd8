package c

import "time"

// C is a constant.
const C = time.Second
