package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mellium.im/sasl"
	"mellium.im/xmpp/disco"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
	"mellium.im/xmpp/version"
)

// resources is the scenario in which juliet logs in with three resources of different priorities, and romeo writes to her.
func resources() {
	five, ten, minus := newClient(juliet, "five", 5), newClient(juliet, "ten", 10), newClient(juliet, "minus", -1)
	romeo := newClient(romeoJID, "balcony", 0)
	receivers := []*client{five, ten, minus}
	everybody := append(slices.Clone(receivers), romeo)
	isBound := check("bind", func() (string, error) {
		bound := map[string]bool{}
		for _, client := range everybody {
			if err := client.open(way{}); err != nil {
				return "", err
			}
			bound[client.full()] = true
		}
		if len(bound) != len(everybody) {
			return "", fmt.Errorf("not one address each: %v", bound)
		}
		return "three of the server's choice", nil
	})
	if !isBound {
		return
	}
	check("tls", func() (string, error) {
		state := five.session.ConnectionState()
		if len(state.VerifiedChains) == 0 {
			return "", errors.New("the certificate is not verified")
		}
		return tls.VersionName(state.Version), nil
	})
	check("scram", func() (string, error) {
		used := five.mechanism()
		if !strings.HasPrefix(used, "SCRAM-SHA-") {
			return "", fmt.Errorf("%s was used", used)
		}
		return used, nil
	})
	check("mechanisms", func() (string, error) { return eachMechanism(five) })
	check("chat", func() (string, error) {
		for _, client := range receivers {
			if err := client.available(); err != nil {
				return "", err
			}
		}
		return delivery(romeo, receivers, stanza.ChatMessage, juliet, "ten")
	})
	check("headline", func() (string, error) {
		return delivery(romeo, receivers, stanza.HeadlineMessage, juliet, "five, ten")
	})
	check("full", func() (string, error) {
		return delivery(romeo, receivers, stanza.ChatMessage, five.full(), "five")
	})
	check("negative", func() (string, error) {
		return delivery(romeo, receivers, stanza.ChatMessage, minus.full(), "minus")
	})
	check("ping", func() (string, error) { return "", five.settle() })
	check("disco", five.disco)
	check("version", five.version)
	check("unknown", five.unknown)
	check("direct", func() (string, error) {
		client := newClient(romeoJID, "direct", 0)
		if err := client.open(way{isDirect: true}); err != nil {
			return "", err
		}
		return tls.VersionName(client.session.ConnectionState().Version), errors.Join(client.settle(), client.leave())
	})
	check("refuse", func() (string, error) {
		client := newClient(juliet, "wrong", 0)
		err := client.open(way{password: "not " + password})
		condition := client.in.find("<(not-authorized)")
		if err == nil || condition == "" {
			return "", fmt.Errorf("the wrong password: %v", err)
		}
		return condition, nil
	})
	check("register", func() (string, error) { return "", skip("not in mellium") })
	check("close", func() (string, error) {
		var err error
		for _, client := range everybody {
			err = errors.Join(err, client.leave())
		}
		return "", err
	})
}

// mechanism is the one with which the client has logged in.
func (c *client) mechanism() string { return c.out.find(`mechanism=["']([^"']+)`) }

// eachMechanism logs in by each mechanism that both have.
func eachMechanism(offered *client) (string, error) {
	var names []string
	for _, mechanism := range mechanisms {
		if offered.in.find("mechanism>("+mechanism.Name+")<") == "" {
			continue
		}
		names = append(names, mechanism.Name)
		client := newClient(romeoJID, "mechanism", 0)
		if err := client.open(way{mechanisms: []sasl.Mechanism{mechanism}}); err != nil {
			return "", fmt.Errorf("%s: %w", mechanism.Name, err)
		}
		if err := client.leave(); err != nil {
			return "", err
		}
	}
	return strings.Join(names, ", "), nil
}

// delivery is one message; exactly the expected resources get it, once.
func delivery(sender *client, receivers []*client, kind stanza.MessageType, to, expected string) (string, error) {
	body := fmt.Sprintf("%s for %s", kind, expected)
	if err := sender.message(kind, to, body); err != nil {
		return "", err
	}
	var got []string
	for _, receiver := range receivers {
		found, err := receiver.rest(func(stanza element) bool { return stanza.body() == body })
		if err != nil {
			return "", err
		}
		for range found {
			got = append(got, receiver.name)
		}
	}
	if strings.Join(got, ", ") != expected {
		return "", fmt.Errorf("expected %s, delivered to %v", expected, got)
	}
	return expected, nil
}

func (c *client) disco() (string, error) {
	ctx, cancel := soon()
	defer cancel()
	found, err := disco.GetInfo(ctx, "", jid.MustParse(domain), c.session)
	if err == nil && (len(found.Identity) == 0 || found.Identity[0].Category != "server") {
		err = errors.New("it is no server")
	}
	return fmt.Sprintf("%d features", len(found.Features)), err
}

func (c *client) version() (string, error) {
	ctx, cancel := soon()
	defer cancel()
	found, err := version.Get(ctx, c.session, jid.MustParse(domain))
	return found.Name + " " + found.Version, err
}

func (c *client) unknown() (string, error) {
	refused, err := c.refused(stanza.GetIQ, domain, empty("urn:example:unknown", "query"))
	if err == nil && refused != "service-unavailable" {
		err = fmt.Errorf("refused with %q", refused)
	}
	return refused, err
}
