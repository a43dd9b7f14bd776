"""Hours instead of seconds: what only shows when the product simply goes on."""
