"""Everything that names an environment: presets and the build step that reads them."""
