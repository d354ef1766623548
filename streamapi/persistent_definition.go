package streamapi

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/mediavault-io/mediavault/eventstore"
)

// allStream is the name of $all where a stream's name is written.
const allStream = "$all"

// startEnd is a beginning at the end, as EventStoreDB writes it.
const startEnd = -1

// definition is what a persistent subscription is, as it is stored.
type definition struct {
	Incarnation string       `json:"incarnation"` // another for each subscription of the same name
	Source      string       `json:"source"`      // a stream, or $all
	Name        string       `json:"name"`
	Filter      *filtering   `json:"filter,omitempty"`
	Start       int64        `json:"start"` // a revision, or position in $all, as it was asked for; startEnd: the end
	After       int64        `json:"after"` // the subscription begins behind it
	Settings    groupSetting `json:"settings"`
	Maker       maker        `json:"maker"`
}

type filtering struct {
	OnStream bool     `json:"on_stream"`
	Regex    string   `json:"regex,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
}

// GetRegex implements expression.
func (f *filtering) GetRegex() string { return f.Regex }

// GetPrefix implements expression.
func (f *filtering) GetPrefix() []string { return f.Prefixes }

// maker is who made a subscription: it sees what its maker may see.
type maker struct {
	ID            string   `json:"id"`
	Roles         []string `json:"roles"`
	Categories    []string `json:"categories"`
	Organisations []string `json:"organisations"`
}

func makerOf(p Principal) maker {
	return maker{ID: p.ID, Roles: p.Roles, Categories: p.Categories, Organisations: p.Organisations}
}

func (m maker) principal() Principal {
	return Principal{ID: m.ID, Roles: m.Roles, Categories: m.Categories, Organisations: m.Organisations}
}

// groupSetting are EventStoreDB's settings of a persistent subscription. Times are milliseconds; 0: never.
type groupSetting struct {
	Resolve         bool   `json:"resolve"`
	Statistics      bool   `json:"statistics"`
	Retries         int32  `json:"retries"`
	CheckpointMin   int32  `json:"checkpoint_min"`
	CheckpointMax   int32  `json:"checkpoint_max"`
	CheckpointAfter int32  `json:"checkpoint_after"`
	Consumers       int32  `json:"consumers"` // 0: any number
	LiveBuffer      int32  `json:"live_buffer"`
	ReadBatch       int32  `json:"read_batch"`
	HistoryBuffer   int32  `json:"history_buffer"`
	Timeout         int32  `json:"timeout"`
	Strategy        string `json:"strategy"`
}

// settingsMessage is what both messages of settings have.
type settingsMessage interface {
	GetResolveLinks() bool
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
}

func settingsOf(m settingsMessage, strategy string) groupSetting {
	return groupSetting{
		Resolve: m.GetResolveLinks(), Statistics: m.GetExtraStatistics(), Retries: m.GetMaxRetryCount(),
		CheckpointMin: m.GetMinCheckpointCount(), CheckpointMax: m.GetMaxCheckpointCount(),
		CheckpointAfter: milliseconds(m.GetCheckpointAfterMs(), m.GetCheckpointAfterTicks()),
		Consumers:       m.GetMaxSubscriberCount(), LiveBuffer: m.GetLiveBufferSize(), ReadBatch: m.GetReadBatchSize(),
		HistoryBuffer: m.GetHistoryBufferSize(), Timeout: milliseconds(m.GetMessageTimeoutMs(), m.GetMessageTimeoutTicks()),
		Strategy: strategy,
	}
}

// milliseconds are those of a time that is told in milliseconds or in ticks of 100 ns.
func milliseconds(ms int32, ticks int64) int32 {
	if ms != 0 {
		return ms
	}
	return int32(max(0, min(ticks/10_000, math.MaxInt32))) //nolint:gosec // bounded
}

func (s groupSetting) timeout() time.Duration { return time.Duration(s.Timeout) * time.Millisecond }
func (s groupSetting) checkpointAfter() time.Duration {
	return time.Duration(s.CheckpointAfter) * time.Millisecond
}

func (d *definition) key() groupKey { return groupKey{source: d.Source, name: d.Name} }

// ofView reports whether the subscription is to $all or a virtual stream, whose places are positions.
func (d *definition) ofView() bool {
	_, virtual := viewOf(eventstore.Stream(d.Source))
	return virtual || d.Source == allStream
}

func (d *definition) encode() ([]byte, error) { return json.Marshal(d) }

func decodeDefinition(data []byte) (definition, error) {
	var d definition
	err := json.Unmarshal(data, &d)
	return d, err
}

// check says no to what cannot work.
func (d *definition) check() error {
	s := d.Settings
	fail := func(reason string) error { return subscriptionFailed(d.key(), reason) }
	switch {
	case !knownStrategy(s.Strategy):
		return fail("Consumer strategy " + s.Strategy + " does not exist.")
	case s.ReadBatch <= 0 || s.HistoryBuffer <= 0 || s.LiveBuffer <= 0:
		return fail("Buffer sizes and the read batch size must be positive.")
	case s.ReadBatch >= s.HistoryBuffer:
		return fail("ReadBatchSize may not be greater than or equal to BufferSize")
	case s.Retries < 0 || s.Timeout < 0 || s.CheckpointAfter < 0 || s.CheckpointMin < 0 || s.CheckpointMax < 0 || s.Consumers < 0:
		return fail("Settings must not be negative.")
	case !utf8.ValidString(d.Source+d.Name) || strings.ContainsRune(d.Source+d.Name, 0):
		return fail("The names of the stream and of the group must be text.")
	case len("$$")+len(d.parked()) > eventstore.MaxStream:
		return fail("The names of the stream and of the group are too long together.")
	}
	_, err := d.filter()
	return err
}

func (d *definition) filter() (*filter, error) {
	if d.Filter == nil {
		return nil, nil //nolint:nilnil // a nil filter lets all pass
	}
	return newFilter(d.Filter.OnStream, d.Filter, 0, 0)
}

// keyOf reads which subscription a request is about.
func keyOf(stream *shared.StreamIdentifier, all bool, name string) (groupKey, error) {
	key := groupKey{source: allStream, name: name}
	if !all {
		of, err := streamOf(stream)
		if err != nil {
			return key, err
		}
		key.source = string(of)
		if of == allStream {
			return key, subscriptionFailed(key, "Persistent subscriptions to $all are made as such, not to a stream of that name.")
		}
	}
	if name == "" {
		return key, invalidArgument("'groupName' is required")
	}
	return key, nil
}

func definitionOf(o *persistent.CreateReq_Options) (*definition, error) {
	strategy := o.GetSettings().GetConsumerStrategy()
	if strategy == "" {
		//lint:ignore SA1019 what older clients say
		strategy = o.GetSettings().GetNamedConsumerStrategy().String()
	}
	d := &definition{Name: o.GetGroupName(), Settings: settingsOf(o.GetSettings(), strategy)}
	stream := o.GetStream().GetStreamIdentifier()
	switch at := o.GetStreamOption().(type) {
	case *persistent.CreateReq_Options_All:
		d.Start = startOf(at.All.GetPosition().GetCommitPosition(), at.All.GetEnd() != nil)
		if f := at.All.GetFilter(); f != nil {
			_, onStream := f.GetFilter().(*persistent.CreateReq_AllOptions_FilterOptions_StreamIdentifier)
			e := f.GetEventType()
			if onStream {
				e = f.GetStreamIdentifier()
			}
			d.Filter = &filtering{OnStream: onStream, Regex: e.GetRegex(), Prefixes: e.GetPrefix()}
		}
	case *persistent.CreateReq_Options_Stream:
		d.Start = startOf(at.Stream.GetRevision(), at.Stream.GetEnd() != nil)
	default: // what clients before 21.10 say
		//lint:ignore SA1019 what older clients say
		stream = o.GetStreamIdentifier()
		//lint:ignore SA1019 what older clients say
		d.Start = startOf(o.GetSettings().GetRevision(), false)
	}
	key, err := keyOf(stream, o.GetAll() != nil, d.Name)
	d.Source = key.source
	return d, err
}

func updateOf(o *persistent.UpdateReq_Options) (*definition, error) {
	d := &definition{Name: o.GetGroupName(), Settings: settingsOf(o.GetSettings(), o.GetSettings().GetNamedConsumerStrategy().String())}
	stream := o.GetStream().GetStreamIdentifier()
	switch at := o.GetStreamOption().(type) {
	case *persistent.UpdateReq_Options_All:
		d.Start = startOf(at.All.GetPosition().GetCommitPosition(), at.All.GetEnd() != nil)
	case *persistent.UpdateReq_Options_Stream:
		d.Start = startOf(at.Stream.GetRevision(), at.Stream.GetEnd() != nil)
	default:
		//lint:ignore SA1019 what older clients say
		stream = o.GetStreamIdentifier()
		//lint:ignore SA1019 what older clients say
		d.Start = startOf(o.GetSettings().GetRevision(), false)
	}
	key, err := keyOf(stream, o.GetAll() != nil, d.Name)
	d.Source = key.source
	return d, err
}

// startOf is where to begin: EventStoreDB writes the end as the last of all numbers, too.
func startOf(at uint64, end bool) int64 {
	if end || at > math.MaxInt64 {
		return startEnd
	}
	return int64(at)
}
