// Command mellium goes through the scenarios of `cargo xtask interop` with mellium.im/xmpp; the name of one is the argument.
//
// It is started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _ROMEO, _JULIET, _LOG and _PASSWORD in the environment, and with
// SSL_CERT_FILE, which Go obeys. Each check is one line on standard output: result, name, detail, with tabs between them.
package main

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"mellium.im/sasl"
	"mellium.im/xmlstream"
	"mellium.im/xmpp"
	"mellium.im/xmpp/blocklist"
	"mellium.im/xmpp/carbons"
	"mellium.im/xmpp/disco"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/mux"
	"mellium.im/xmpp/ping"
	"mellium.im/xmpp/roster"
	"mellium.im/xmpp/stanza"
)

const patience = 5 * time.Second

var (
	domain   = os.Getenv("INTEROP_DOMAIN")
	password = os.Getenv("INTEROP_PASSWORD")
	romeoJID = os.Getenv("INTEROP_ROMEO")
	juliet   = os.Getenv("INTEROP_JULIET")
	log      *os.File
)

func main() {
	var err error
	if log, err = os.Create(os.Getenv("INTEROP_LOG")); err != nil {
		panic(err)
	}
	if os.Args[1] == "people" {
		people()
	} else {
		resources()
	}
}

// skip says that the server or the library does not have what the check is about.
type skip string

func (reason skip) Error() string { return string(reason) }

// check runs one check and reports how it went.
func check(name string, action func() (string, error)) bool {
	detail, err := action()
	result := "ok"
	if reason := skip(""); errors.As(err, &reason) {
		result, detail = "skip", string(reason)
	} else if err != nil {
		result, detail = "FAIL", err.Error()
	}
	fmt.Printf("%s\t%s\t%s\n", result, name, strings.Join(strings.Fields(detail), " "))
	return result == "ok"
}

// soon is the time in which everything has to happen.
func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// element is a stanza as the scenarios look at it.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e element) attr(name string) string {
	for _, attr := range e.Attrs {
		if attr.Name.Local == name {
			return attr.Value
		}
	}
	return ""
}

// child is the first with this name, or an empty element.
func (e element) child(name string) element {
	for _, child := range e.Children {
		if child.XMLName.Local == name {
			return child
		}
	}
	return element{}
}

func (e element) is(name, kind string) bool {
	return e.XMLName.Local == name && e.attr("type") == kind
}

func (e element) body() string { return e.child("body").Text }

// errorCondition is that of a stanza of type error.
func (e element) errorCondition() string {
	if children := e.child("error").Children; len(children) > 0 {
		return children[0].XMLName.Local
	}
	return ""
}

// wire keeps what goes over it, and writes it down.
type wire struct {
	lock sync.Mutex
	who  string
	text strings.Builder
}

func (w *wire) Write(bytes []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.text.Write(bytes)
	fmt.Fprintf(log, "%s %s\n", w.who, bytes)
	return len(bytes), nil
}

func (w *wire) find(pattern string) string {
	w.lock.Lock()
	defer w.lock.Unlock()
	if found := regexp.MustCompile(pattern).FindStringSubmatch(w.text.String()); found != nil {
		return found[1]
	}
	return ""
}

// client keeps what it gets until the scenario asks for it.
type client struct {
	name, account string
	priority      int
	session       *xmpp.Session
	out, in       wire
	lock          sync.Mutex
	inbox         []element
	library       xmpp.Handler
	closed        chan error
}

// way is how a client gets in: by STARTTLS and any mechanism, if nothing else is said.
type way struct {
	password   string
	isDirect   bool
	mechanisms []sasl.Mechanism
}

var mechanisms = []sasl.Mechanism{
	sasl.ScramSha256Plus, sasl.ScramSha1Plus, sasl.ScramSha256, sasl.ScramSha1, sasl.Plain,
}

func newClient(account, resource string, priority int) *client {
	name := resource
	if account == romeoJID {
		name = "romeo"
	}
	who := account + " " + resource
	return &client{
		name: name, account: account, priority: priority,
		out: wire{who: who + " C:"}, in: wire{who: who + " S:"},
		library: mux.New(stanza.NSClient, disco.Handle(), ping.Handle(),
			roster.Handle(roster.Handler{Push: func(string, roster.Item) error { return nil }}),
			blocklist.Handle(blocklist.Handler{Block: func(blocklist.Item) {}, Unblock: func(jid.JID) {}, UnblockAll: func() {}}),
			carbons.Handle(carbons.Handler{F: func(stanza.Message, bool, xml.TokenReader) error { return nil }}),
		),
		closed: make(chan error, 1),
	}
}

// open logs in and binds the resource.
func (c *client) open(way way) error {
	ctx, cancel := soon()
	defer cancel()
	if way.password == "" {
		way.password = password
	}
	if way.mechanisms == nil {
		way.mechanisms = mechanisms
	}
	address, state := os.Getenv("INTEROP_ADDRESS"), xmpp.SessionState(0)
	config := &tls.Config{ServerName: domain}
	if way.isDirect {
		address, state = os.Getenv("INTEROP_DIRECT"), xmpp.Secure
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if way.isDirect {
		conn = tls.Client(conn, config)
	}
	origin := jid.MustParse(c.account)
	negotiator := xmpp.NewNegotiator(func(*xmpp.Session, *xmpp.StreamConfig) xmpp.StreamConfig {
		return xmpp.StreamConfig{
			Features: []xmpp.StreamFeature{
				xmpp.StartTLS(config), xmpp.SASL("", way.password, way.mechanisms...), xmpp.BindResource(),
				roster.Versioning(),
			},
			TeeIn: &c.in, TeeOut: &c.out,
		}
	})
	c.session, err = xmpp.NewSession(ctx, origin.Domain(), origin, conn, state, negotiator)
	if err != nil {
		conn.Close()
		return err
	}
	go func() { c.closed <- c.session.Serve(c) }()
	return nil
}

// full is the address that the server has given it: the library can't ask for a resource.
func (c *client) full() string { return c.session.LocalAddr().String() }

// replay gives tokens that were read before.
type replay struct {
	xmlstream.Encoder
	tokens []xml.Token
}

func (r *replay) Token() (xml.Token, error) {
	if len(r.tokens) == 0 {
		return nil, io.EOF
	}
	token := r.tokens[0]
	r.tokens = r.tokens[1:]
	return token, nil
}

// HandleXMPP keeps a stanza, and has the library do with it what it does.
func (c *client) HandleXMPP(t xmlstream.TokenReadEncoder, start *xml.StartElement) error {
	tokens, err := xmlstream.ReadAll(t)
	if err != nil {
		return err
	}
	var stanza element
	first := replay{tokens: tokens}
	if err := xml.NewTokenDecoder(xmlstream.MultiReader(xmlstream.Token(*start), &first)).Decode(&stanza); err != nil {
		return err
	}
	c.lock.Lock()
	c.inbox = append(c.inbox, stanza)
	c.lock.Unlock()
	return c.library.HandleXMPP(&replay{Encoder: t, tokens: tokens}, start)
}

func text(name, content string) xml.TokenReader {
	start := xml.StartElement{Name: xml.Name{Local: name}}
	return xmlstream.Wrap(xmlstream.Token(xml.CharData(content)), start)
}

// presence sends one; without an address to everybody.
func (c *client) presence(kind stanza.PresenceType, to string, payload ...xml.TokenReader) error {
	presence := stanza.Presence{Type: kind}
	if to != "" {
		presence.To = jid.MustParse(to)
	}
	ctx, cancel := soon()
	defer cancel()
	return c.session.Send(ctx, presence.Wrap(xmlstream.MultiReader(payload...)))
}

func (c *client) available() error {
	priority := text("priority", fmt.Sprint(c.priority))
	return errors.Join(c.presence(stanza.AvailablePresence, "", priority), c.settle())
}

func (c *client) message(kind stanza.MessageType, to, body string) error {
	ctx, cancel := soon()
	defer cancel()
	message := stanza.Message{To: jid.MustParse(to), Type: kind}
	return errors.Join(c.session.Send(ctx, message.Wrap(text("body", body))), c.settle())
}

// settle waits until the server has done what this client has asked for, and this client has what was on its way.
func (c *client) settle() error {
	ctx, cancel := soon()
	defer cancel()
	return ping.Send(ctx, c.session, jid.MustParse(domain))
}

func empty(space, name string) xml.TokenReader {
	return xmlstream.Wrap(nil, xml.StartElement{Name: xml.Name{Space: space, Local: name}})
}

// refused is the condition with which a request is refused; it is empty if it has a result.
func (c *client) refused(kind stanza.IQType, to string, payload xml.TokenReader) (string, error) {
	iq := stanza.IQ{Type: kind}
	if to != "" {
		iq.To = jid.MustParse(to)
	}
	ctx, cancel := soon()
	defer cancel()
	err := c.session.UnmarshalIQElement(ctx, payload, iq, nil)
	if refusal := (stanza.Error{}); errors.As(err, &refusal) {
		return string(refusal.Condition), nil
	}
	return "", err
}

// test is one of a stanza.
type test func(element) bool

func (one test) and(other test) test {
	return func(stanza element) bool { return one(stanza) && other(stanza) }
}

// take takes the first stanza that passes out of the inbox.
func (c *client) take(test test) (element, bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	index := slices.IndexFunc(c.inbox, test)
	if index < 0 {
		return element{}, false
	}
	stanza := c.inbox[index]
	c.inbox = slices.Delete(c.inbox, index, index+1)
	return stanza, true
}

// gets waits for a stanza and takes it out of the inbox.
func (c *client) gets(what string, test test) (element, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if stanza, ok := c.take(test); ok {
			return stanza, nil
		}
	}
	return element{}, fmt.Errorf("%s got no %s", c.name, what)
}

// rest is what has come and was not asked for and passes, taken out of the inbox.
func (c *client) rest(test test) ([]element, error) {
	err := c.settle()
	var found []element
	for stanza, ok := c.take(test); ok; stanza, ok = c.take(test) {
		found = append(found, stanza)
	}
	return found, err
}

func (c *client) getsNo(what string, test test) error {
	if found, err := c.rest(test); err != nil || len(found) > 0 {
		return errors.Join(err, fmt.Errorf("%s got a %s", c.name, what))
	}
	return nil
}

// leave closes the stream, and waits for the server to close its own.
func (c *client) leave() error {
	if err := c.session.Close(); err != nil {
		return err
	}
	defer c.session.Conn().Close()
	select {
	case err := <-c.closed:
		return err
	case <-time.After(patience):
		return fmt.Errorf("%s got no closing tag in answer", c.name)
	}
}
