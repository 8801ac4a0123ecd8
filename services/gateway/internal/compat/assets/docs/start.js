window.ui = SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.schema,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // the validator is a host outside
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
