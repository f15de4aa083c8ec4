package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// sayEvery is how often progress is told where there is no terminal.
const sayEvery = 5 * time.Second

// meter shows how far something is: a bar on a terminal, a line now and then
// elsewhere, nothing when quiet. Its methods may be called concurrently.
type meter struct {
	a     *app
	what  string
	total int64

	mu     sync.Mutex
	at     int64
	begun  time.Time // for the rate
	first  int64     // where it began
	said   time.Time
	bars   *mpb.Progress
	bar    *mpb.Bar
	silent bool
}

func (a *app) meter(what string, total int64) *meter {
	now := time.Now()
	m := &meter{a: a, what: what, total: total, begun: now, said: now, first: -1, silent: a.quiet}
	if file, ok := a.stderr.(*os.File); ok && !a.quiet && term.IsTerminal(int(file.Fd())) {
		m.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(40))
		m.bar = m.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(what+" "), decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "% .1f "), decor.AverageETA(decor.ET_STYLE_GO)))
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
	if m.bar != nil {
		m.bar.SetCurrent(m.at)
		return
	}
	now := time.Now()
	if m.silent || now.Sub(m.said) < sayEvery || m.at >= m.total {
		return
	}
	m.said = now
	rate := float64(m.at-m.first) / now.Sub(m.begun).Seconds()
	left := ""
	if rate > 1 {
		left = fmt.Sprintf(", %v left", time.Duration(float64(m.total-m.at)/rate*float64(time.Second)).Round(time.Second))
	}
	m.a.say("%s %s of %s, %s/s%s", m.what, bytesText(m.at), bytesText(m.total), bytesText(int64(rate)), left)
}

// done ends the display.
func (m *meter) done() {
	if m.bar != nil {
		m.bar.Abort(false)
		m.bars.Wait()
		m.bar = nil
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
