package custody

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestAhead: what is made ahead comes in order and whole, ends with the error of whoever
// makes it or of the context, and nobody goes on making what is not taken.
func TestAhead(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		count   int   // that are made; then fault
		fault   error // of whoever makes them
		take    int   // that are taken before the taker stops; 0: all
		cancel  int   // item at which the context ends; 0: never
		want    int
		wantErr error
	}{
		"all":                  {count: 100, want: 100},
		"none":                 {},
		"as many as fit":       {count: 4, want: 4},
		"an error":             {count: 10, fault: broken, want: 10, wantErr: broken},
		"an error at once":     {fault: broken, wantErr: broken},
		"the taker stops":      {count: 100, take: 3, want: 3},
		"the taker stops last": {count: 5, take: 5, want: 5},
		"the context ends":     {count: 100, cancel: 20, wantErr: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var got []int
			var err error
			for i, fault := range ahead(ctx, 4, func(ctx context.Context) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					for i := range test.count {
						if test.cancel > 0 && i == test.cancel {
							cancel()
						}
						if !yield(i, nil) {
							return
						}
					}
					if test.fault != nil {
						yield(0, test.fault)
					}
				}
			}) {
				if err != nil {
					t.Fatalf("item %d after %v", i, err)
				}
				if err = fault; err != nil {
					continue
				}
				if got = append(got, i); len(got) == test.take {
					break
				}
			}
			if !errors.Is(err, test.wantErr) || (err == nil) != (test.wantErr == nil) {
				t.Errorf("the error is %v, want %v", err, test.wantErr)
			}
			if test.cancel == 0 && len(got) != test.want || test.cancel > 0 && len(got) == test.count {
				t.Errorf("%d items", len(got))
			}
			if !slices.IsSorted(got) {
				t.Errorf("out of order: %v", got)
			}
		})
	}
}

// TestAheadPanics: what panics ahead panics where it is taken, which is where a server
// catches it; also when nobody takes the rest.
func TestAheadPanics(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, taken := range []int{0, 1, 100} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "broken\n") || !strings.Contains(got, "TestAheadPanics") {
					t.Errorf("%d taken: recovered %q", taken, got)
				}
			}()
			for i, err := range ahead(t.Context(), 4, func(context.Context) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					for i := range 6 {
						yield(i, nil)
					}
					panic("broken")
				}
			}) {
				if err != nil || i >= taken {
					break
				}
			}
			t.Errorf("%d taken: nothing panicked", taken)
		}()
	}
}
