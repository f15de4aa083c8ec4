package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// anchoring is who is asked for time stamps, and how often.
type anchoring struct {
	texts []string
	every time.Duration
}

// authorityFlags are those of commands that ask time-stamping authorities.
func (s *settings) authorityFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.anchors.texts, "authority", nil,
		"name, address and PEM file of the roots of an RFC 3161 time-stamping authority, 'NAME URL ROOTS.pem'; may be given several times; the URL has no credentials and no query: authorities that want such are not supported")
}

// anchorFlags are those of the command that goes on asking.
func (s *settings) anchorFlags(f *pflag.FlagSet) {
	s.authorityFlags(f)
	f.DurationVar(&s.anchors.every, "anchor-every", custody.DefaultAnchorEvery, "how long an entry waits for a time stamp, at most; exports do not wait for that")
}

// maxRootsFile is the greatest size of a file of roots in bytes.
const maxRootsFile = 1 << 20

// authorities reads the authorities. No two have one name.
func (a anchoring) authorities() ([]*authority.Authority, error) {
	if len(a.texts) > evidence.MaxTokens {
		return nil, fmt.Errorf("--authority: %d are named, at most %d can be", len(a.texts), evidence.MaxTokens)
	}
	var list []*authority.Authority
	names := map[string]bool{}
	for _, text := range a.texts {
		words := strings.Fields(text)
		if len(words) < 3 {
			return nil, errors.New("--authority: want 'NAME URL ROOTS.pem': without pinned roots nothing an authority says can be believed")
		}
		path := strings.Join(words[2:], " ")
		pem, err := readLimited(path, maxRootsFile)
		if err != nil {
			return nil, fmt.Errorf("--authority %s: %w", words[0], err)
		}
		roots, err := timestamp.ParseRoots(pem)
		if err != nil {
			return nil, fmt.Errorf("--authority %s: %s: %w", words[0], path, err)
		}
		one, err := authority.New(words[0], words[1], roots, time.Now)
		if err != nil {
			return nil, fmt.Errorf("--authority: %w", err)
		}
		if names[one.Name()] {
			return nil, fmt.Errorf("--authority: %s is there twice", one.Name())
		}
		names[one.Name()] = true
		list = append(list, one)
	}
	if a.every < time.Second && a.every != 0 {
		return nil, fmt.Errorf("--anchor-every %s: want 1s at least, such as 1h", a.every)
	}
	return list, nil
}

// checkAuthorities asks each authority for a time stamp that nobody keeps.
func (s *settings) checkAuthorities(ctx context.Context) []custody.Observation {
	list, err := s.anchors.authorities()
	if err != nil {
		return []custody.Observation{{Name: "authorities", Detail: err.Error()}}
	}
	var seen []custody.Observation
	for _, a := range list {
		o := custody.Observation{Name: "authority " + a.Name()}
		answer, err := a.Ask(ctx, []byte("custodyd check\n"), rand.Reader)
		a.Close()
		switch {
		case err == nil:
			o.OK = true
			o.Detail = fmt.Sprintf("stamps, as %s", answer.Stamp.Authority)
			if len(answer.Missing) > 0 {
				o.Detail += "; revocation lists that are not kept: " + strings.Join(answer.Missing, "; ")
			}
		case authority.Unmet(err):
			o.Detail, o.Mend = err.Error(), "see that "+a.Host()+" can be reached from here; until then its time stamps stay pending"
		case errors.Is(err, authority.ErrClock):
			o.Detail, o.Mend = err.Error(), "set this machine's clock by a time server"
		default:
			o.Detail, o.Mend = err.Error(), "see that the file holds the root of this authority, got from its own publication"
		}
		seen = append(seen, o)
	}
	return seen
}
