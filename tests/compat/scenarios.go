// SPDX-License-Identifier: Apache-2.0

// franz-go goes through the scenarios of scenarios.py, which drives it with ADDRESS CUT_ADDRESS.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	ctx        context.Context
	address    string
	cutAddress string
	admin      *kadm.Client
)

func check(err error, what string) {
	if err != nil {
		fmt.Fprintln(os.Stderr, what+":", err)
		os.Exit(1)
	}
}

func same[T any](got, wanted T, what string) {
	if !reflect.DeepEqual(got, wanted) {
		check(fmt.Errorf("got %v, wanted %v", got, wanted), what)
	}
}

func scenario(name string, run func() string) {
	fmt.Println("begin " + name)
	fmt.Println("end " + name + ": " + run())
}

func open(address string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(address, ",")...), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.AllowAutoTopicCreation())...)
	check(err, "client")
	return client
}

func create(topic string, partitions int32, configs map[string]*string) {
	_, err := admin.CreateTopic(ctx, partitions, -1, configs, topic)
	check(err, "create "+topic)
}

// Ten at a time, so that there are batches; or all at once.
func publish(address string, records []*kgo.Record, each int, options ...kgo.Opt) {
	client := open(address, options...)
	defer client.Close()
	for i := 0; i < len(records); i += each {
		check(client.ProduceSync(ctx, records[i:min(i+each, len(records))]...).FirstErr(), "produce")
	}
}

var manual = kgo.RecordPartitioner(kgo.ManualPartitioner())

func consumer(address, topic string, partitions int32) *kgo.Client {
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		from[p] = kgo.NewOffset().AtStart()
	}
	return open(address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
}

// What comes until the last of so many partitions, from the first, has come to its end.
func take(client *kgo.Client, topic string, ends map[int32]int64) []*kgo.Record {
	var got []*kgo.Record
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		check(fetches.Err(), "fetch of "+topic)
		fetches.EachRecord(func(r *kgo.Record) {
			got = append(got, r)
			if end, have := ends[r.Partition]; have && r.Offset >= end-1 {
				delete(ends, r.Partition)
			}
		})
	}
	return got
}

func ends(client *kgo.Client, topic string) map[int32]int64 {
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	check(errors.Join(err, listed.Error()), "end offsets")
	found := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			found[o.Partition] = o.Offset
		}
	})
	return found
}

func read(address, topic string, partitions int32) []*kgo.Record {
	client := consumer(address, topic, partitions)
	defer client.Close()
	return take(client, topic, ends(client, topic))
}

func values(records []*kgo.Record) []int {
	var found []int
	for _, r := range records {
		n, err := strconv.Atoi(string(r.Value))
		check(err, "a value")
		found = append(found, n)
	}
	return found
}

func numbered(count int, make func(i int) *kgo.Record) []*kgo.Record {
	var records []*kgo.Record
	for i := range count {
		r := make(i)
		r.Value = []byte(strconv.Itoa(i))
		records = append(records, r)
	}
	return records
}

func steps(first, end, step int) []int {
	var found []int
	for i := first; i < end; i += step {
		found = append(found, i)
	}
	return found
}

// awaitPartitions waits until the node that is asked knows that there are so many; 0: that there is no such topic.
func awaitPartitions(topic string, partitions int) {
	until(fmt.Sprintf("%d partitions of %s", partitions, topic), func() bool {
		listed, err := admin.ListTopics(ctx)
		check(err, "list topics")
		return len(listed[topic].Partitions) == partitions
	})
}

func topics() string {
	create("topics", 3, nil)
	awaitPartitions("topics", 3)
	publish(address, numbered(30, func(i int) *kgo.Record {
		return &kgo.Record{Topic: "topics", Partition: int32(i % 3)}
	}), 10, manual)
	for _, r := range read(address, "topics", 3) {
		same(string(r.Value), fmt.Sprint(r.Offset*3+int64(r.Partition)), "where a record is")
	}
	return ""
}

func keys() string {
	create("keys", 3, nil)
	publish(address, numbered(70, func(i int) *kgo.Record {
		return &kgo.Record{Topic: "keys", Key: fmt.Appendf(nil, "k%d", i%7)}
	}), 10)
	got := read(address, "keys", 3)
	for k := range 7 {
		var mine []*kgo.Record
		for _, r := range got {
			if string(r.Key) == fmt.Sprintf("k%d", k) {
				same(r.Partition, append(mine, r)[0].Partition, "the partition of a key")
				mine = append(mine, r)
			}
		}
		same(values(mine), steps(k, 70, 7), "the records of a key")
	}
	return ""
}

func headers() string {
	create("headers", 1, nil)
	wanted := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte{}},
		{Key: "a", Value: []byte{0, 255}}}
	publish(address, []*kgo.Record{{Topic: "headers", Value: []byte("v"), Headers: wanted}}, 1)
	same(read(address, "headers", 1)[0].Headers, wanted, "headers")
	return ""
}

func codecs() string {
	all := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	for _, name := range names {
		create("codec-"+name, 1, nil)
		var records []*kgo.Record
		for i := range 100 {
			value := strings.Repeat(fmt.Sprintf("value %d ", i), 20)
			records = append(records, &kgo.Record{Topic: "codec-" + name, Value: []byte(value)})
		}
		publish(address, records, 100, manual, kgo.ProducerBatchCompression(all[name]), kgo.ProducerLinger(100*time.Millisecond))
		for i, r := range read(address, "codec-"+name, 1) {
			same(string(r.Value), string(records[i].Value), name)
		}
	}
	return strings.Join(names, " ")
}

func idempotence() string {
	publish(cutAddress, numbered(200, func(int) *kgo.Record { return &kgo.Record{Topic: "idempotence"} }), 10, manual)
	same(values(read(cutAddress, "idempotence", 1)), steps(0, 200, 1), "each record once, in order")
	return ""
}

func times() string {
	create("times", 1, nil)
	first := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	publish(address, numbered(10, func(i int) *kgo.Record {
		return &kgo.Record{Topic: "times", Timestamp: first.Add(time.Duration(i) * time.Second)}
	}), 10)
	for at, wanted := range map[int64]int64{0: 0, 2000: 2, 2001: 3, 9001: 10} {
		found, err := admin.ListOffsetsAfterMilli(ctx, first.UnixMilli()+at, "times")
		check(err, "offsets by time")
		same(found["times"][0].Offset, wanted, fmt.Sprintf("the first record after %d ms", at))
	}
	return ""
}

func pause() string {
	create("pause", 2, nil)
	publish(address, numbered(100, func(i int) *kgo.Record {
		return &kgo.Record{Topic: "pause", Partition: int32(i % 2)}
	}), 10, manual)
	client := consumer(address, "pause", 2)
	defer client.Close()
	zero := map[string][]int32{"pause": {0}}
	client.PauseFetchPartitions(zero)
	same(values(take(client, "pause", map[int32]int64{1: 50})), steps(1, 100, 2), "the paused partition is silent")
	client.ResumeFetchPartitions(zero)
	same(values(take(client, "pause", map[int32]int64{0: 50})), steps(0, 100, 2), "it goes on")
	client.SetOffsets(map[string]map[int32]kgo.EpochOffset{"pause": {0: {Epoch: -1, Offset: 40}}})
	same(values(take(client, "pause", map[int32]int64{0: 50})), steps(80, 100, 2), "a seek reads it again")
	return ""
}

func retention() string {
	described, err := admin.DescribeTopicConfigs(ctx, "admin")
	check(err, "describe configs")
	for _, c := range described[0].Configs {
		if c.Key == "retention.ms" {
			return *c.Value
		}
	}
	return ""
}

func administration() string {
	create("admin", 2, map[string]*string{"retention.ms": kadm.StringPtr("3600000")})
	_, err := admin.CreateTopic(ctx, 2, 1, nil, "admin")
	same(errors.Is(err, kerr.TopicAlreadyExists), true, "a topic is not made twice")
	until("the configuration", func() bool { return retention() == "3600000" })
	altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("7200000")}}, "admin")
	check(errors.Join(err, altered[0].Err), "alter configs")
	until("the altered configuration", func() bool { return retention() == "7200000" })
	grown, err := admin.CreatePartitions(ctx, 3, "admin")
	check(errors.Join(err, grown["admin"].Err), "create partitions")
	awaitPartitions("admin", 5)
	publish(address, numbered(10, func(int) *kgo.Record { return &kgo.Record{Topic: "admin"} }), 10, manual)
	cut, err := admin.DeleteRecords(ctx, kadm.Offsets{"admin": {0: kadm.Offset{Topic: "admin", At: 4}}})
	check(err, "delete records")
	same(cut["admin"][0].LowWatermark, 4, "the first offset after DeleteRecords")
	groupAdministration()
	gone, err := admin.DeleteTopics(ctx, "admin")
	check(errors.Join(err, gone["admin"].Err), "delete")
	awaitPartitions("admin", 0)
	return ""
}

func compacted() string {
	create("compacted", 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")})
	for n := range 5 {
		var records []*kgo.Record
		for k := range 20 {
			records = append(records, &kgo.Record{Topic: "compacted", Key: []byte(strconv.Itoa(k)),
				Value: []byte(strconv.Itoa(n))})
		}
		publish(address, records, 20)
	}
	fmt.Println("compacted compacted 50")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	check(err, "the answer")
	got := read(address, "compacted", 1)
	same(len(got) <= 50, true, "fewer records")
	last, wanted := map[string]string{}, map[string]string{}
	for _, r := range got {
		last[string(r.Key)] = string(r.Value)
	}
	delete(last, "more")
	for k := range 20 {
		wanted[strconv.Itoa(k)] = "4"
	}
	same(last, wanted, "the last values")
	return ""
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/twmb/franz-go" {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return ""
}

func main() {
	var cancel context.CancelFunc
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	address, cutAddress = os.Args[1], os.Args[2]
	fmt.Println("version " + version())
	client := open(address)
	defer client.Close()
	admin = kadm.NewClient(client)
	scenario("topics", topics)
	scenario("keys", keys)
	scenario("headers", headers)
	scenario("codecs", codecs)
	scenario("idempotence", idempotence)
	scenario("time lookup", times)
	scenario("pause and seek", pause)
	scenario("admin", administration)
	scenario("compacted topic", compacted)
	scenario("groups", sharing)
	scenario("static members", instances)
}
