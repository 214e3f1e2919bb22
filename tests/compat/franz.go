// SPDX-License-Identifier: Apache-2.0

// What franz-go and its admin client ask of a broker; test_franz_go.py builds it and starts it with the address.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const records = 500

func check(what string, err error) {
	if err != nil {
		fmt.Println("failed:", what, err)
		os.Exit(1)
	}
	fmt.Println("ok:", what)
}

func same[T comparable](got, wanted T, what string) {
	if got != wanted {
		check(what, fmt.Errorf("got %v, wanted %v", got, wanted))
	}
	fmt.Println("ok:", what)
}

func open(address string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(address))...)
	if err != nil {
		check("client", err)
	}
	return client
}

func value(i int) string {
	return strings.Repeat("value ", 9) + fmt.Sprint(i)
}

func publish(ctx context.Context, address, topic string, codec kgo.CompressionCodec) {
	client := open(address, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(5*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	var failed error
	for i := 0; i < records; i++ {
		client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint(i)), Value: []byte(value(i))},
			func(r *kgo.Record, err error) { failed = errors.Join(failed, err) })
	}
	check(topic+": published", errors.Join(client.Flush(ctx), failed))
}

func read(ctx context.Context, address, topic string) {
	client := open(address, kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	for next := 0; next < records; {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			check(topic+": fetch", e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) != value(next) || r.Offset != int64(next) {
				check(topic, fmt.Errorf("%q at %d where %d was next", r.Value, r.Offset, next))
			}
			next++
		})
	}
	check(topic+": everything comes back", nil)
}

func topics(ctx context.Context, admin *kadm.Client) {
	made, err := admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("3600000")}, "t")
	check("create", err)
	same(made.NumPartitions, 3, "create tells the partitions")
	_, err = admin.CreateTopic(ctx, 3, 1, nil, "t")
	same(errors.Is(err, kerr.TopicAlreadyExists), true, "a topic that exists")
	listed, err := admin.ListTopics(ctx, "t")
	check("list", err)
	same(len(listed["t"].Partitions), 3, "list tells the partitions")
	altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("7200000")}}, "t")
	check("alter", err)
	check("alter t", altered[0].Err)
	described, err := admin.DescribeTopicConfigs(ctx, "t")
	check("describe", err)
	for _, c := range described[0].Configs {
		if c.Key == "retention.ms" {
			same(*c.Value, "7200000", "describe tells what was altered")
		}
	}
	grown, err := admin.CreatePartitions(ctx, 2, "t")
	check("create partitions", err)
	check("create partitions of t", grown["t"].Err)
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	check("describe log dirs", err)
	same(len(dirs), 1, "log dirs of one broker")
	gone, err := admin.DeleteTopics(ctx, "t")
	check("delete", err)
	check("delete t", gone["t"].Err)
}

func offsets(ctx context.Context, admin *kadm.Client, topic string) {
	end, err := admin.ListEndOffsets(ctx, topic)
	check("end offsets", err)
	same(end[topic][0].Offset, records, "the log ends behind the last record")
	first, err := admin.ListOffsetsAfterMilli(ctx, 5, topic)
	check("offsets by time", err)
	same(first[topic][0].Offset, 0, "the first record after a time")
	newest, err := admin.ListMaxTimestampOffsets(ctx, topic)
	check("newest record", err)
	same(newest[topic][0].Timestamp > 0, true, "the newest record has a time")
	var q kadm.OffsetForLeaderEpochRequest
	q.Add(topic, 0, 0)
	ends, err := admin.OffetForLeaderEpoch(ctx, q)
	check("end of an epoch", err)
	same(ends[topic][0].EndOffset, records, "the epoch ends with the log")
	cut, err := admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: kadm.Offset{Topic: topic, At: 3}}})
	check("delete records", err)
	same(cut[topic][0].LowWatermark, 3, "the log begins there")
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	address := os.Args[1]
	client := open(address)
	defer client.Close()
	admin := kadm.NewClient(client)
	topics(ctx, admin)
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	for name, codec := range codecs {
		topic := "franz-" + name
		_, err := admin.CreateTopic(ctx, 1, 1, nil, topic)
		check("create "+topic, err)
		publish(ctx, address, topic, codec)
		read(ctx, address, topic)
	}
	_, err := admin.CreateTopic(ctx, 1, 1, nil, "cut")
	check("create cut", err)
	publish(ctx, address, "cut", kgo.NoCompression())
	offsets(ctx, admin, "cut")
	groups(ctx, address, admin, "range", kgo.RangeBalancer())
	groups(ctx, address, admin, "cooperative-sticky", kgo.CooperativeStickyBalancer())
}
