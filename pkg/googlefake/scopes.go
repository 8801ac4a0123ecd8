package googlefake

import "strings"

const scopePrefix = "https://www.googleapis.com/auth/"

// knownScopes are the scopes of the discovery documents of Calendar v3, Meet v2, Drive v3,
// Workspace Events v1, Pub/Sub v1, Directory v1 and OAuth2 v2, without their prefix. The token endpoint treats
// any other string the way Google treats a misspelt one.
const knownScopes = ` admin.chrome.printers
admin.chrome.printers.readonly
admin.directory.customer
admin.directory.customer.readonly
admin.directory.device.chromeos
admin.directory.device.chromeos.readonly
admin.directory.device.mobile
admin.directory.device.mobile.action
admin.directory.device.mobile.readonly
admin.directory.domain
admin.directory.domain.readonly
admin.directory.group
admin.directory.group.member
admin.directory.group.member.readonly
admin.directory.group.readonly
admin.directory.orgunit
admin.directory.orgunit.readonly
admin.directory.resource.calendar
admin.directory.resource.calendar.readonly
admin.directory.rolemanagement
admin.directory.rolemanagement.readonly
admin.directory.user
admin.directory.user.alias
admin.directory.user.alias.readonly
admin.directory.user.readonly
admin.directory.user.security
admin.directory.userschema
admin.directory.userschema.readonly
calendar
calendar.acls
calendar.acls.readonly
calendar.app.created
calendar.calendarlist
calendar.calendarlist.readonly
calendar.calendars
calendar.calendars.readonly
calendar.events
calendar.events.freebusy
calendar.events.owned
calendar.events.owned.readonly
calendar.events.public.readonly
calendar.events.readonly
calendar.freebusy
calendar.readonly
calendar.settings
calendar.settings.readonly
chat.app.all.memberships.readonly
chat.app.all.messages.readonly
chat.app.all.spaces.readonly
chat.app.all.users.readstate.readonly
chat.app.memberships
chat.app.memberships.readonly
chat.app.messages.readonly
chat.app.spaces
chat.app.spaces.readonly
chat.bot
chat.memberships
chat.memberships.readonly
chat.messages
chat.messages.reactions
chat.messages.reactions.readonly
chat.messages.readonly
chat.spaces
chat.spaces.readonly
chat.users.availability
chat.users.availability.readonly
chat.users.readstate
chat.users.readstate.readonly
cloud-platform
drive
drive.appdata
drive.apps.readonly
drive.file
drive.meet.readonly
drive.metadata
drive.metadata.readonly
drive.photos.readonly
drive.readonly
drive.scripts
meetings.space.created
meetings.space.readonly
meetings.space.settings
pubsub
userinfo.email
userinfo.profile `

// scopeOpenID is the one scope without a prefix.
const scopeOpenID = "openid"

// scopeSet splits knownScopes.
func scopeSet() map[string]bool {
	set := make(map[string]bool)
	for name := range strings.FieldsSeq(knownScopes) {
		set[scopePrefix+name] = true
	}
	set[scopeOpenID] = true
	return set
}

// Scopes of Workspace Events, without their prefix: all that a method takes, whatever it is about.
const (
	eventReaders = `chat.bot chat.memberships chat.memberships.readonly chat.messages chat.messages.reactions
chat.messages.reactions.readonly chat.messages.readonly chat.spaces chat.spaces.readonly chat.users.availability
chat.users.availability.readonly chat.users.readstate chat.users.readstate.readonly drive drive.file drive.metadata
drive.metadata.readonly drive.readonly meetings.space.created meetings.space.readonly`
	eventWriters = `chat.app.all.memberships.readonly chat.app.all.messages.readonly chat.app.all.spaces.readonly
chat.app.all.users.readstate.readonly chat.app.memberships chat.app.memberships.readonly chat.app.messages.readonly
chat.app.spaces chat.app.spaces.readonly chat.memberships chat.memberships.readonly chat.messages chat.messages.reactions
chat.messages.reactions.readonly chat.messages.readonly chat.spaces chat.spaces.readonly chat.users.availability
chat.users.availability.readonly chat.users.readstate chat.users.readstate.readonly drive drive.file drive.metadata
drive.metadata.readonly drive.readonly meetings.space.created meetings.space.readonly`
)

func eventScopes(names string) []string { return calendarScopes(strings.Fields(names)...) }
