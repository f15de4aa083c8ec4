package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// How often progress is told: on a terminal, and elsewhere.
const (
	redrawEvery = 200 * time.Millisecond
	sayEvery    = 5 * time.Second
)

// barWidth is the width of a bar in characters.
const barWidth = 30

// meter shows how far something is: a bar with rate and time left on a terminal, a
// line now and then elsewhere, nothing when quiet. Its methods may be called
// concurrently. (It is our own: the library's tables for the width of characters
// took 40 ms of every command's start, for one line of ASCII.)
type meter struct {
	a     *app
	what  string
	total int64
	every time.Duration
	live  bool // on a terminal: one line, drawn again and again

	mu    sync.Mutex
	at    int64
	begun time.Time // for the rate
	first int64     // where it began
	said  time.Time
	drawn bool
}

func (a *app) meter(what string, total int64) *meter {
	now := time.Now()
	m := &meter{a: a, what: what, total: total, every: sayEvery, begun: now, said: now, first: -1}
	if file, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		m.live, m.every = true, redrawEvery
	}
	return m
}

// set tells how far it is.
func (m *meter) set(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to(n)
}

// add tells that it is n further.
func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to(m.at + n)
}

func (m *meter) to(n int64) {
	m.at = min(n, m.total)
	if m.first < 0 {
		m.first = m.at
	}
	now := time.Now()
	if m.a.quiet || now.Sub(m.said) < m.every || m.at >= m.total && !m.live {
		return
	}
	m.said = now
	if m.live {
		m.drawn = true
		fmt.Fprintf(m.a.stderr, "\r\x1b[K%s %s", bar(m.at, m.total), m.text(now))
		return
	}
	m.a.say("%s", m.text(now))
}

// text is the state in words.
func (m *meter) text(now time.Time) string {
	rate := float64(m.at-m.first) / now.Sub(m.begun).Seconds()
	left := ""
	if rate > 1 && m.at < m.total {
		left = fmt.Sprintf(", %v left", time.Duration(float64(m.total-m.at)/rate*float64(time.Second)).Round(time.Second))
	}
	return fmt.Sprintf("%s %s of %s, %s/s%s", m.what, bytesText(m.at), bytesText(m.total), bytesText(int64(rate)), left)
}

// bar draws how much of the whole there is.
func bar(at, total int64) string {
	full := barWidth
	if total > 0 {
		full = int(float64(at) / float64(total) * barWidth)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

// done ends the display: the line of a terminal is wiped for what comes next.
func (m *meter) done() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drawn {
		fmt.Fprint(m.a.stderr, "\r\x1b[K")
		m.drawn = false
	}
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
