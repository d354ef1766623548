package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/domain"
)

func tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "token --user NAME [--role ROLE]... [--org ORGANISATION]",
		Short: "Sign a token of the dev issuer",
		Long:  "Sign a token of the dev issuer, for curl and tests. In production tokens come from the identity provider.",
		Args:  cobra.NoArgs,
		Example: `  curl -H "Authorization: Bearer $(mediavault token --user alice)" http://127.0.0.1:8080/v1/media
  mediavault token --user mona --role moderator`,
	}
	dir := c.Flags().String("data", defaultData, "the data folder of the dev vault")
	user := c.Flags().String("user", "", "who: the token's sub")
	roles := c.Flags().StringSlice("role", []string{string(domain.RoleUser)}, strings.Join(tokenRoles(), ", ")+"; may be given several times")
	org := c.Flags().String("org", "", "the partner organisation")
	ttl := c.Flags().Duration("ttl", time.Hour, "how long it is valid")
	_ = c.MarkFlagRequired("user")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, role := range *roles {
			if !slices.Contains(tokenRoles(), role) {
				return fmt.Errorf("--role %q: accepted are %s", role, strings.Join(tokenRoles(), ", "))
			}
		}
		if *ttl <= 0 {
			return fmt.Errorf("--ttl %v: a token is valid for a time to come, such as 1h", *ttl)
		}
		if *user == "" {
			return errors.New("--user is empty: it is who the token is for")
		}
		r, err := whereabouts(*dir)
		if err != nil {
			return errors.New("no dev vault runs on " + *dir + ": start it with `mediavault dev --data " + *dir + "`")
		}
		issuer, err := auth.OpenIssuer(*dir, r.BaseURL)
		if err != nil {
			return err
		}
		actor := domain.Actor{ID: domain.UserID(*user), Org: domain.OrgID(*org)}
		for _, role := range *roles {
			actor.Roles = append(actor.Roles, domain.Role(role))
		}
		token, err := issuer.Token(actor, *ttl)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), token)
		return nil
	}
	return c
}

// tokenRoles are those that people may have: the vault itself shows no token.
func tokenRoles() []string {
	var names []string
	for _, r := range []domain.Role{
		domain.RoleGuest, domain.RoleUser, domain.RolePartner, domain.RolePartnerAdmin, domain.RoleModerator, domain.RoleAuditor, domain.RoleAnalyst, domain.RoleAdmin,
	} {
		names = append(names, string(r))
	}
	return names
}
