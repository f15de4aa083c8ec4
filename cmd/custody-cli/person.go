package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/operator"
)

func newPerson(a *app) *cobra.Command {
	return group("person", "Who may do what", newPersonEnrol(a), newPersonList(a), newPersonShow(a), newPersonRevoke(a))
}

// recorded is the result of a command that records one entry.
type recorded struct {
	What  string         `json:"recorded"`
	Of    string         `json:"of"`
	Entry operator.Entry `json:"entry"`
}

// record signs and records one event, and prints what became of it.
func (a *app) record(ctx context.Context, reference evidence.Name, body evidence.Body, again bool, of, said string) error {
	op, err := a.open(ctx, patience)
	if err != nil {
		return err
	}
	defer op.Close()
	return a.recordAs(ctx, op, reference, body, again, of, said)
}

func (a *app) recordAs(ctx context.Context, op *operator.Operator, reference evidence.Name, body evidence.Body, again bool, of, said string) error {
	entry, err := op.Record(ctx, reference, body, again)
	if err != nil {
		return err
	}
	kind := evidence.Event{Body: body}.Kind()
	return a.result(recorded{string(kind), of, entry}, line("%s %s (entry %d)", of, said, entry.Seq))
}

type enrolOptions struct {
	principal, name, title, organisation, badge, key string
	roles                                            []string
}

func newPersonEnrol(a *app) *cobra.Command {
	var o enrolOptions
	cmd := &cobra.Command{
		Use:     "enrol --principal NAME --name NAME --role ROLE... --key FILE.pub",
		Short:   "Make a person known, with the key that signs for them",
		Example: "  custody-cli person enrol --principal analyst1 --name 'Anton Analyst' --role analyst --key analyst1.pub",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	f.StringVar(&o.principal, "principal", "", "the name entries will use: a-z, 0-9, '.', '_', '@', '-'")
	f.StringVar(&o.name, "name", "", "the person's name")
	f.StringVar(&o.title, "title", "", "title or function")
	f.StringVar(&o.organisation, "organisation", "", "where the person belongs")
	f.StringVar(&o.badge, "badge", "", "badge or staff number")
	f.StringSliceVar(&o.roles, "role", nil, fmt.Sprintf("one of %v; may be repeated", identity.AllRoles()))
	f.StringVar(&o.key, "key", "", "file with the person's SSH public key")
	require(cmd, "principal", "name", "role", "key")
	return cmd
}

func (o enrolOptions) run(ctx context.Context, a *app) error {
	principal, err := identity.ParsePrincipal(o.principal)
	if err != nil {
		return fmt.Errorf("--principal: %w", err)
	}
	list := make([]identity.Role, len(o.roles))
	for i, text := range o.roles {
		if list[i], err = identity.ParseRole(text); err != nil {
			return fmt.Errorf("--role: %.40q: %w", text, err)
		}
	}
	roles, err := identity.NewRoles(list...)
	if err != nil {
		return fmt.Errorf("--role: %w", err)
	}
	key, err := readPublicKey(o.key)
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	return a.record(ctx, "", evidence.PersonEnrolled{
		Principal: principal, Name: o.name, Title: o.title, Organisation: o.organisation, Badge: o.badge, Roles: roles, Key: key,
	}, true, o.principal, fmt.Sprintf("enrolled as %s with the key %s", roles, key.Fingerprint()))
}

func newPersonList(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "list", Short: "Everybody ever enrolled",
		Example: "  custody-cli person list",
	}, nil, func(ctx context.Context, op *operator.Operator, _ evidence.Path) (any, text, error) {
		people, err := op.People(ctx)
		if err != nil {
			return nil, nil, err
		}
		var rows [][]string
		for _, p := range people {
			state := "enrolled " + day(p.Enrolled)
			if p.Revoked != nil {
				state = "revoked " + day(*p.Revoked)
			}
			rows = append(rows, []string{string(p.Principal), p.Name, p.Roles.String(), state, p.Key.Fingerprint()})
		}
		return map[string]any{"people": notNil(people)}, table("principal name roles state key", rows), nil
	})
}

func newPersonShow(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "show PRINCIPAL", Short: "One person",
		Example: "  custody-cli person show analyst1",
	}, identity.ParsePrincipal, func(ctx context.Context, op *operator.Operator, principal identity.Principal) (any, text, error) {
		p, err := op.Person(ctx, principal)
		if err != nil {
			return nil, nil, err
		}
		revoked := ""
		if p.Revoked != nil {
			revoked = fmt.Sprintf("%s: %s", p.Revoked, p.Reason)
		}
		return p, facts(
			"principal", string(p.Principal), "name", p.Name, "title", p.Title, "organisation", p.Organisation, "badge", p.Badge,
			"roles", p.Roles.String(), "key", p.Key.String(), "fingerprint", p.Key.Fingerprint(),
			"enrolled", fmt.Sprintf("%s by %s", p.Enrolled, p.EnrolledBy), "revoked", revoked,
		), nil
	})
}

func newPersonRevoke(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke PRINCIPAL --reason TEXT", Short: "The person's key signs nothing from here on", Args: cobra.ExactArgs(1),
		Example: "  custody-cli person revoke analyst1 --reason 'left the laboratory'",
		RunE: func(cmd *cobra.Command, args []string) error {
			principal, err := identity.ParsePrincipal(args[0])
			if err != nil {
				return err
			}
			return a.record(cmd.Context(), "", evidence.PersonRevoked{Principal: principal, Reason: reason}, false, args[0], "revoked")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	require(cmd, "reason")
	return cmd
}

// day is a time's date, for tables.
func day(t evidence.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.String()[:10]
}

// notNil makes an empty list an empty list in JSON too.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
