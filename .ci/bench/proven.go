package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	exported      = 10_000 // entries of the case that is exported
	exportedSmall = 500    // of the one that verify.py verifies too
	checked       = 50_000 // signatures, beside a rebuild
)

var keyLine = regexp.MustCompile(`(?m)^key (\S+)$`)

// exportRows export a large case and verify the bundle, beside what plain Ed25519 on all
// cores takes for as many signatures; and verify a small one with verify.py too.
func (b *bench) exportRows(ctx context.Context) ([]row, error) {
	dir, key := filepath.Join(b.dir, "exporting"), ""
	export := func(entries int, file string) side {
		return side{
			name: "export",
			run: func(ctx context.Context) (sample, error) {
				s, out, err := b.command(ctx, nil, b.self, "export", dir, strconv.Itoa(entries), filepath.Join(b.dir, file))
				if found := keyLine.FindSubmatch(out); found != nil {
					key = string(found[1])
				}
				return s, err
			},
			clean: func(context.Context) error { return b.remove(dir) },
		}
	}
	// prepared makes a bundle and a side that verifies it.
	prepared := func(name string, entries int, file, script string) (side, error) {
		if _, err := b.once(ctx, export(entries, file)); err != nil {
			return side{}, err
		}
		return b.shell(name, fmt.Sprintf(`FILE='%s' KEY='%s'; %s`, filepath.Join(b.dir, file), key, script), "verified"), nil
	}
	const judge = `printf 'origin %s\nlog %s\n' "${KEY%%+*}" "$KEY" > policy; "$CLI" verify "$FILE" --policy policy`
	large, errLarge := prepared("verification", exported, "large.zip", judge)
	small, errSmall := prepared("verification, small", exportedSmall, "small.zip", judge)
	python, errPython := prepared("verification, verify.py", exportedSmall, "python.zip",
		`unzip -p "$FILE" '*/data/verify.py' > verify.py; python3 -I verify.py "$FILE" "$KEY"`)
	if err := errors.Join(errLarge, errSmall, errPython); err != nil {
		return nil, err
	}
	results, err := b.interleave(ctx, export(exported, "again.zip"), large,
		b.shell("Ed25519", fmt.Sprintf(`"$SELF" signatures %d`, exported), "seconds"), small, python)
	if err != nil {
		return nil, err
	}
	floor, g := results[2].wall(), atMost(1.3, " ×")
	beside := func(work string, wall time.Duration) row {
		ratio := g.ratio(wall, floor)
		return row{
			work: work, ours: perSecond(exported, wall), alternative: "Ed25519 on all cores: " + perSecond(exported, floor),
			ratio: fmt.Sprintf("%.2f ×", ratio), goal: g.String(), met: g.met(ratio),
		}
	}
	ours, theirs := results[3].wall(), results[4].wall()
	return []row{
		beside(fmt.Sprintf("export of a case of %s entries", number(exported)), results[0].wall()),
		beside("its verification, every signature", results[1].wall()),
		{
			work: fmt.Sprintf("verification of %s entries", number(exportedSmall)), ours: perSecond(exportedSmall, ours),
			alternative: "verify.py: " + perSecond(exportedSmall, theirs), ratio: fmt.Sprintf("%.2f", ratioOf(ours, theirs)),
		},
	}, nil
}

// rebuildRows make a large ledger again from a directory of objects, beside what plain
// Ed25519 on all cores says of the machine.
func (b *bench) rebuildRows(ctx context.Context) ([]row, error) {
	dir := filepath.Join(b.dir, "published")
	if _, _, err := b.command(ctx, nil, b.self, "published", dir, strconv.Itoa(b.entries)); err != nil {
		return nil, err
	}
	rebuild := b.shell("rebuild", fmt.Sprintf(`"%s" rebuild --from-store --data '%s' && echo rebuilt`, filepath.Join(b.bin, "custodyd"), dir), "rebuilt").
		leaving(b.script(fmt.Sprintf(`cd '%s' && rm -f custodyd ledger.state* ledger.db*`, dir)))
	results, err := b.interleave(ctx, rebuild, b.shell("Ed25519", fmt.Sprintf(`"$SELF" signatures %d`, checked), "seconds"))
	if err != nil {
		return nil, err
	}
	wall, floor := results[0].wall(), results[1].wall()
	rate, g := float64(b.entries)/wall.Seconds(), atLeast(50_000, "/s")
	return []row{{
		work: fmt.Sprintf("ledger: rebuild of %s entries from a directory", number(float64(b.entries))),
		ours: perSecond(b.entries, wall), alternative: "Ed25519 on all cores: " + perSecond(checked, floor),
		goal: g.String(), met: g.met(rate),
	}}, b.remove(dir)
}
