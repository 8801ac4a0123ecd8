package compat

import "strings"

// refusals are the Spanish sentences for the codes that refusals of Google and of the object storage carry, each with what to do. {message} stands for
// the text that came with the code, where it says more than the code alone. English is that text itself.
var refusals = map[string]string{
	"GOOGLE_INVALID_REQUEST":       "Google no acepta la solicitud; revise horas, direcciones y título ({message})",
	"GOOGLE_PERMISSION_DENIED":     "Google no permite a la cuenta hacer esto; comparta con ella el calendario con permiso para hacer cambios, indique otro en GOOGLE_CALENDAR_ID o use una cuenta con licencia de Meet ({message})",
	"GOOGLE_CALENDAR_NOT_FOUND":    "La cuenta no ve tal calendario o evento; revise GOOGLE_CALENDAR_ID y que el calendario esté compartido con la cuenta",
	"GOOGLE_API_DISABLED":          "La API no está habilitada en el proyecto de Google Cloud de la cuenta de servicio; habilítela ({message})",
	"GOOGLE_SCOPE_MISSING":         "Al token le falta un permiso (scope); agregue todos los de la documentación al ID de cliente de la cuenta de servicio en la consola de administración (Seguridad, Controles de API, Delegación de todo el dominio)",
	"GOOGLE_DELEGATION_MISSING":    "La cuenta de servicio no puede actuar por las cuentas del dominio; en la consola de administración (Seguridad, Controles de API, Delegación de todo el dominio) registre su ID de cliente numérico con todos los permisos (scopes) de la documentación; tarda minutos, a lo sumo un día",
	"GOOGLE_ACCOUNT_UNKNOWN":       "La cuenta por la que se actúa no existe, está suspendida, es un alias o es de otro dominio; revise la dirección del organizador, GOOGLE_WORKSPACE_DOMAINS y GOOGLE_WORKSPACE_ADMIN_EMAIL",
	"GOOGLE_KEY_REFUSED":           "La clave de la cuenta de servicio fue eliminada o es de otra cuenta, o la cuenta está inhabilitada; cree una nueva e indíquela en GOOGLE_SERVICE_ACCOUNT_FILE",
	"GOOGLE_CLOCK_WRONG":           "El reloj de esta máquina está equivocado por más de unos minutos; ajústelo por NTP",
	"GOOGLE_ACCESS_BLOCKED":        "El administrador bloquea la aplicación o el servicio para esta cuenta; permítalo en la consola de administración (Seguridad, Controles de API)",
	"GOOGLE_UNAUTHENTICATED":       "Google no acepta ningún token de la cuenta de servicio; compruebe que su clave y su proyecto aún existan",
	"GOOGLE_IMPERSONATION_MISSING": "La cuenta no puede crear reuniones de Meet ni invitar; actúe por una con licencia de Meet (GOOGLE_WORKSPACE_ADMIN_EMAIL, GOOGLE_WORKSPACE_DOMAINS)",
	"GOOGLE_ORGANIZER_OUTSIDE":     "El organizador no es de ninguno de los dominios configurados; agregue su dominio a GOOGLE_WORKSPACE_DOMAINS o indique GOOGLE_WORKSPACE_ADMIN_EMAIL",
	"GOOGLE_EVENT_GONE":            "El evento fue eliminado en Google Calendar; cancele la reunión y cree una nueva",
	"GOOGLE_DRIFTED":               "Alguien cambió o eliminó el evento en Google Calendar; cambie la reunión o envíe provision/ para imponerla, o deshágalo allá ({message})",
	"GOOGLE_SPACE_DENIED":          "Google no permite a la cuenta ver o cambiar el espacio de Meet; la cuenta debe ser su propietaria",
	"GOOGLE_CONFERENCE_GONE":       "Google no muestra a la cuenta tal conferencia; olvida cada una 30 días después de su fin",
	"GOOGLE_FILE_GONE":             "El archivo fue eliminado en Drive, o la cuenta no lo puede ver; su dueño puede recuperarlo de la papelera",
	"GOOGLE_FILE_DENIED":           "Drive no permite a la cuenta descargar o compartir el archivo; revise las reglas para compartir de Drive de su unidad ({message})",
	"GOOGLE_SHARE_REFUSED":         "Drive no permite compartir con esta dirección ({message})",
	"GOOGLE_OWNER_UNKNOWN":         "No se sabe en nombre de quién leer el espacio; es un error nuestro, repórtelo con la reunión",
	"GOOGLE_PERSON_UNKNOWN":        "El directorio no conoce a esta persona",
	"GOOGLE_QUEUE_NOT_FOUND":       "La suscripción de Pub/Sub no existe; indique en GOOGLE_PUBSUB_SUBSCRIPTION una que exista",
	"EXPORT_STORAGE_FULL":          "No hay espacio en el almacenamiento; libere espacio donde apunta MEET_EXPORT_URL ({message})",
	"EXPORT_STORAGE_DENIED":        "El almacenamiento no acepta las credenciales, o les falta un permiso para leer, escribir o borrar ({message})",
	"EXPORT_STORAGE_MISSING":       "El depósito (bucket) o la carpeta de MEET_EXPORT_URL no existe; créelo ({message})",
	"EXPORT_NOT_CONFIGURED":        "Este programa no tiene almacenamiento; indique MEET_EXPORT_URL",
	"EXPORT_MISMATCH":              "La copia o el archivo de Drive tiene otros bytes que los leídos ({message})",
	"EXPORT_KEY_INVALID":           "El almacenamiento no acepta el nombre que forma MEET_EXPORT_KEY; corríjalo ({message})",
	"GOOGLE_EVENT_ID_TAKEN":        "Otro evento del calendario ya tiene el identificador de esta reunión; cree una nueva",
	"GOOGLE_CONFERENCE_FAILED":     "Google creó el evento, pero ninguna reunión de Meet; revise que la cuenta tenga Meet y vuelva a intentarlo",
	"GOOGLE_RECORDING_NOT_SET":     "La reunión tiene su enlace, pero Google no la grabará; revise la edición y el permiso de grabar ({message})",
	"GOOGLE_SETTINGS_REFUSED":      "La reunión tiene su enlace, pero Google rechazó sus ajustes de grabación o acceso; revise los ajustes de Meet de la unidad del organizador ({message})",
}

// refusalText says in the caller's language why Google refused. A code that has no Spanish here is told as it came.
func (x *exchange) refusalText(code, message string) string {
	if x.language() == English {
		return message
	}
	said, known := refusals[code]
	switch {
	case !known:
		return message
	case message == "":
		return strings.TrimSuffix(said, " ({message})")
	}
	return strings.ReplaceAll(said, "{message}", message)
}
