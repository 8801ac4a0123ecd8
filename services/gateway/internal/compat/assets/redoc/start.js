const place = document.getElementById("redoc");
Redoc.init(place.dataset.schema, {
  nativeScrollbars: true,
  hideDownloadButton: false,
  theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } },
}, place);
