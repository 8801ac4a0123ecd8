package google

import (
	"context"
	"strings"

	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// CreateSpace makes a space that belongs to no event, with its settings.
func (c *Client) CreateSpace(ctx context.Context, organizer string, s job.Settings) (state job.SpaceState, err error) {
	scopes := scopesCreate
	body := &meet.Space{}
	if s != (job.Settings{}) {
		body.Config = spaceConfig(s)
	}
	if s.AutoRecording != "" {
		scopes = scopesCreateFully
	}
	err = c.onSpaces(ctx, organizer, scopes, "meet.spaces.create", func(ctx context.Context, who caller) error {
		call := c.meet.Spaces.Create(body).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		space, err := call.Do(who.quotaUser)
		if err == nil {
			state = c.spaceState(space)
		}
		return err
	})
	return state, refusedNotHidden(err)
}

// GetSpace finds a space by its meeting code or its name.
func (c *Client) GetSpace(ctx context.Context, organizer, codeOrName string) (state job.SpaceState, err error) {
	err = c.onSpaces(ctx, organizer, scopesSettings, "meet.spaces.get", func(ctx context.Context, who caller) error {
		call := c.meet.Spaces.Get(spaceName(codeOrName)).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		space, err := call.Do(who.quotaUser)
		if err == nil {
			state = c.spaceState(space)
		}
		return err
	})
	return state, err
}

// PatchSpace changes the settings that s names. A patch by meeting code would be refused as if rights were missing.
func (c *Client) PatchSpace(ctx context.Context, organizer, name string, s job.Settings) (state job.SpaceState, err error) {
	var mask []string
	if s.AutoRecording != "" {
		mask = append(mask, "config.artifactConfig.recordingConfig.autoRecordingGeneration")
	}
	if s.Access != "" {
		mask = append(mask, "config.accessType")
	}
	err = c.onSpaces(ctx, organizer, scopesSettings, "meet.spaces.patch", func(ctx context.Context, who caller) error {
		call := c.meet.Spaces.Patch(name, &meet.Space{Config: spaceConfig(s)}).UpdateMask(strings.Join(mask, ",")).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		space, err := call.Do(who.quotaUser)
		if err == nil {
			state = c.spaceState(space)
		}
		return err
	})
	return state, err
}

func (c *Client) onSpaces(ctx context.Context, organizer string, scopes scopeSet, method string, call func(context.Context, caller) error) error {
	actor, err := c.Actor(organizer)
	if err != nil {
		return err
	}
	return c.as(ctx, actor, organizer, scopes, method, call)
}

// spaceName is the resource name; a meeting code is an alias that reads take.
func spaceName(codeOrName string) string {
	if strings.HasPrefix(codeOrName, "spaces/") {
		return codeOrName
	}
	return "spaces/" + codeOrName
}

func spaceConfig(s job.Settings) *meet.SpaceConfig {
	config := &meet.SpaceConfig{AccessType: string(s.Access)}
	if s.AutoRecording != "" {
		config.ArtifactConfig = &meet.ArtifactConfig{RecordingConfig: &meet.RecordingConfig{AutoRecordingGeneration: string(s.AutoRecording)}}
	}
	return config
}

func (c *Client) spaceState(s *meet.Space) job.SpaceState {
	state := job.SpaceState{Name: s.Name, Link: s.MeetingUri, Code: s.MeetingCode, Simulated: c.simulated(s.ServerResponse.Header)}
	if config := s.Config; config != nil {
		state.Access = job.Access(config.AccessType)
		if config.ArtifactConfig != nil && config.ArtifactConfig.RecordingConfig != nil {
			state.AutoRecording = job.Switch(config.ArtifactConfig.RecordingConfig.AutoRecordingGeneration)
		}
	}
	return state
}
