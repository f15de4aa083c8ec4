package custody

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
)

// ahead gives what a sequence gives, which is made beside whoever takes it: n items while
// the n before them wait and those before these are taken. It ends with an error where ctx
// does: never as if it were complete.
func ahead[T any](ctx context.Context, n int, from func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	type item struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		made := make(chan []item, 1)
		var making sync.WaitGroup
		var crash any
		defer func() {
			cancel() // what nobody takes any more
			making.Wait()
			if crash != nil {
				panic(crash)
			}
		}()
		making.Go(func() {
			defer close(made)
			defer func() {
				if p := recover(); p != nil {
					crash = fmt.Sprintf("%v\n%s", p, debug.Stack())
				}
			}()
			var batch []item
			send := func() bool {
				select {
				case made <- batch:
					batch = nil
					return true
				case <-ctx.Done():
					return false
				}
			}
			for value, err := range from(ctx) {
				if batch = append(batch, item{value, err}); len(batch) == n && !send() {
					return
				}
			}
			send()
		})
		for batch := range made {
			for _, i := range batch {
				if !yield(i.value, i.err) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
