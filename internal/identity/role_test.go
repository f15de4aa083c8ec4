package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTable pins the table: the code allows what the package comment prints.
func TestTable(t *testing.T) {
	var table strings.Builder
	line := func(cells ...string) {
		text := fmt.Sprintf("%-14s", cells[0])
		for i, cell := range cells[1:] {
			text += "  " + fmt.Sprintf("%-*s", len(roles[i]), cell)
		}
		table.WriteString("//\t" + strings.TrimRight(text, " ") + "\n")
	}
	head := []string{"permission"}
	for _, r := range roles {
		head = append(head, string(r))
	}
	line(head...)
	for _, p := range permissions {
		row := []string{string(p)}
		for _, r := range roles {
			mark := "-"
			if (Roles{r}).Allow(p) {
				mark = "x"
			}
			row = append(row, mark)
		}
		line(row...)
	}
	source, err := os.ReadFile("identity.go")
	if err != nil {
		t.Fatal(err)
	}
	_, comment, found := strings.Cut(string(source), "//\n//\tpermission")
	comment, _, _ = strings.Cut("//\tpermission"+comment, "//\n")
	if !found {
		t.Fatal("the package comment holds no table")
	}
	if diff := cmp.Diff(comment, table.String()); diff != "" {
		t.Errorf("package comment (-) and code (+) differ:\n%s", diff)
	}
}

func TestTableIsClosed(t *testing.T) {
	for r, list := range allowed {
		if !slices.Contains(roles, r) {
			t.Errorf("table has the unknown role %q", r)
		}
		for _, p := range list {
			if !slices.Contains(permissions, p) {
				t.Errorf("%s has the unknown permission %q", r, p)
			}
		}
	}
	if (Roles{"root"}).Allow(StatusRead) || Roles(nil).Allow(StatusRead) || Roles(roles).Allow("copy.delete") {
		t.Error("what is not in the table must be denied")
	}
}

func TestLaw(t *testing.T) {
	firstPerson, err := NewRoles(RoleExaminer, RoleAdministrator, RoleCustodian)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range permissions {
		if p != LedgerRead && !firstPerson.Allow(p) {
			t.Errorf("the first person of a lab may not %s", p)
		}
	}
	content := []Permission{CopyFetch, CopyIssue, ExportCreate, IntakeUpload}
	for _, r := range []Role{RoleAdministrator, RoleScreener, RoleAuditor} {
		for _, p := range content {
			if (Roles{r}).Allow(p) {
				t.Errorf("%s may %s", r, p)
			}
		}
	}
}

func TestRoles(t *testing.T) {
	tests := []struct {
		text    string
		wantErr error
	}{
		{"examiner", nil},
		{"administrator,custodian,examiner", nil},
		{"service", nil},
		{"", ErrRole},
		{"examiner,administrator", ErrRole},
		{"examiner,examiner", ErrRole},
		{"examiner,", ErrRole},
		{" examiner", ErrRole},
		{"Examiner", ErrRole},
		{"root", ErrRole},
	}
	for _, tt := range tests {
		rs, err := ParseRoles(tt.text)
		if !errors.Is(err, tt.wantErr) {
			t.Errorf("ParseRoles(%q) error %v, want %v", tt.text, err, tt.wantErr)
		}
		if err == nil && rs.String() != tt.text || err != nil && rs != nil {
			t.Errorf("ParseRoles(%q) = %q", tt.text, rs)
		}
		data, err := json.Marshal(strings.Split(tt.text, ","))
		if err != nil {
			t.Fatal(err)
		}
		var decoded Roles
		if err := json.Unmarshal(data, &decoded); !errors.Is(err, tt.wantErr) {
			t.Errorf("Unmarshal(%s) error %v, want %v", data, err, tt.wantErr)
		}
		if diff := cmp.Diff(rs, decoded); diff != "" {
			t.Error(diff)
		}
	}
	for _, data := range []string{`null`, `[]`, `"examiner"`, `[1]`, `{}`} {
		var decoded Roles
		if err := json.Unmarshal([]byte(data), &decoded); !errors.Is(err, ErrRole) {
			t.Errorf("Unmarshal(%s) error %v, want %v", data, err, ErrRole)
		}
	}
}

func TestNewRoles(t *testing.T) {
	rs, err := NewRoles(RoleScreener, RoleAnalyst)
	if err != nil || rs.String() != "analyst,screener" || !rs.Has(RoleScreener) || rs.Has(RoleLegal) {
		t.Errorf("NewRoles = %v, %v", rs, err)
	}
	for _, bad := range [][]Role{nil, {RoleLegal, RoleLegal}, {"root"}} {
		if rs, err := NewRoles(bad...); !errors.Is(err, ErrRole) || rs != nil {
			t.Errorf("NewRoles(%q) = %v, %v", bad, rs, err)
		}
	}
	if all := AllRoles(); len(all) != len(roles)-1 || slices.Contains(all, RoleService) {
		t.Errorf("AllRoles() = %v", all)
	}
}

func TestRolesHeldBy(t *testing.T) {
	tests := []struct {
		principal Principal
		roles     Roles
		wantErr   error
	}{
		{"examiner1", Roles{RoleExaminer}, nil},
		{Service, Roles{RoleService}, nil},
		{"examiner1", Roles{RoleService}, ErrRole},
		{"examiner1", Roles{RoleExaminer, RoleService}, ErrRole},
		{Service, Roles{RoleAdministrator}, ErrRole},
		{Service, Roles{RoleAuditor, RoleService}, ErrRole},
		{"examiner1", nil, ErrRole},
		{"examiner1", Roles{RoleLegal, RoleAnalyst}, ErrRole},
	}
	for _, tt := range tests {
		if err := tt.roles.HeldBy(tt.principal); !errors.Is(err, tt.wantErr) {
			t.Errorf("%v held by %s: %v, want %v", tt.roles, tt.principal, err, tt.wantErr)
		}
	}
}
