package server

import (
	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/custody"
)

// anchors puts the service's time stamps into the words of the API.
func anchors(a custody.Anchors) api.Anchors {
	wire := api.Anchors{EverySeconds: int64(a.Every.Seconds()), Authorities: []api.AnchorAuthority{}, Rounds: []api.AnchorRound{}}
	for _, authority := range a.Authorities {
		wire.Authorities = append(wire.Authorities, api.AnchorAuthority{Name: authority.Name, Url: authority.URL})
	}
	for _, r := range a.Rounds {
		round := api.AnchorRound{Entries: r.Size, Stamps: []api.AnchorStamp{}}
		for _, s := range r.Stamps {
			stamp := api.AnchorStamp{
				Authority: s.Authority, State: api.AnchorStampState(s.State), Time: s.Time, Entry: s.Entry, Tries: s.Tries, Due: s.Due,
			}
			if s.Serial != "" {
				stamp.Serial = &s.Serial
			}
			if s.Problem != "" {
				stamp.Problem = &s.Problem
			}
			if len(s.Missing) > 0 {
				stamp.Missing = &s.Missing
			}
			round.Stamps = append(round.Stamps, stamp)
		}
		wire.Rounds = append(wire.Rounds, round)
	}
	return wire
}
