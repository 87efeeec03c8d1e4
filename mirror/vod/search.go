package vod

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// The actions that tell what media there are. Source: Tencent Cloud VOD documentation, product 266, pages 31813 and 31763.
const (
	actionSearch   = "SearchMedia"
	actionDescribe = "DescribeMediaInfos"
)

const (
	// SearchReach is how far into its results a search can look: Offset + Limit. A total above it reads as this number.
	SearchReach = 5000
	// MaxFileIDs is how many media one DescribeMedia takes.
	MaxFileIDs = 20
)

// Search asks for the media that were created from After to Before, both inclusive and in whole seconds.
type Search struct {
	After, Before time.Time
	Descending    bool // by CreateTime
	Offset, Limit int  // together SearchReach at most
}

// Media is one video with whatever snapshots it has.
type Media struct {
	FileID     string
	CreateTime time.Time // in whole seconds; zero from DescribeMedia
	Text       []byte    // JSON, as [Decode] reads it
}

// SearchMedia gives a page, and how many media there are in all, SearchReach meaning that many or more.
func (a *API) SearchMedia(ctx context.Context, s Search) (page []Media, total int, _ error) {
	order := "Asc"
	if s.Descending {
		order = "Desc"
	}
	var answer struct {
		TotalCount   int
		MediaInfoSet []json.RawMessage
	}
	err := a.call(ctx, actionSearch, map[string]any{
		"CreateTime": map[string]string{"After": s.After.UTC().Format(time.RFC3339), "Before": s.Before.UTC().Format(time.RFC3339)},
		"Sort":       map[string]string{"Field": "CreateTime", "Order": order},
		"Offset":     s.Offset, "Limit": s.Limit,
		"Filters": []string{"basicInfo", "snapshotByTimeOffsetInfo"},
	}, &answer)
	if err != nil {
		return nil, 0, err
	}
	for _, text := range answer.MediaInfoSet {
		m, err := readMedia(actionSearch, text)
		if err == nil && m.CreateTime.IsZero() {
			err = &APIError{Action: actionSearch, Kind: Misunderstood, Message: "a media without a CreateTime"}
		}
		if err != nil {
			return nil, 0, err
		}
		page = append(page, m)
	}
	return page, answer.TotalCount, nil
}

// DescribeMedia gives up to MaxFileIDs media, and the ids of those that do not exist.
func (a *API) DescribeMedia(ctx context.Context, fileIDs []string) (media []Media, missing []string, _ error) {
	var answer struct {
		MediaInfoSet      []json.RawMessage
		NotExistFileIdSet []string
	}
	err := a.call(ctx, actionDescribe, map[string]any{"FileIds": fileIDs, "Filters": []string{"basicInfo", "snapshotByTimeOffsetInfo"}}, &answer)
	if err != nil {
		return nil, nil, err
	}
	for _, text := range answer.MediaInfoSet {
		m, err := readMedia(actionDescribe, text)
		if err != nil {
			return nil, nil, err
		}
		media = append(media, m)
	}
	return media, answer.NotExistFileIdSet, nil
}

func readMedia(action string, raw []byte) (Media, error) {
	var of struct {
		FileID    text `json:"FileId"`
		BasicInfo *struct{ CreateTime text }
	}
	if err := json.Unmarshal(raw, &of); err != nil || of.FileID == "" {
		return Media{}, &APIError{Action: action, Kind: Misunderstood, Message: "a media without a FileId"}
	}
	m := Media{FileID: string(of.FileID), Text: raw}
	if of.BasicInfo != nil && of.BasicInfo.CreateTime != "" {
		at, err := time.Parse(time.RFC3339, string(of.BasicInfo.CreateTime))
		if err != nil {
			return Media{}, &APIError{Action: action, Kind: Misunderstood, Message: fmt.Sprintf("a CreateTime %.40q", string(of.BasicInfo.CreateTime))}
		}
		m.CreateTime = at.UTC().Truncate(time.Second)
	}
	return m, nil
}
