"""What a hand does on the ranking page."""

from playwright.sync_api import Locator, Page, expect


def drag_card(page: Page, card: Locator, target: Locator, part: float = 0.5) -> None:
    """Drags a card by its handle to a part (0 top, 1 bottom) of the target."""
    card.scroll_into_view_if_needed()
    handle = card.locator(".handle").bounding_box()
    page.mouse.move(handle["x"] + 8, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(handle["x"] + 30, handle["y"] + 30)
    box = target.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * part, steps=4)
    expect(target).to_have_attribute("data-drop", "before" if part < 0.2 else "after" if part > 0.8 else "onto")
    page.mouse.up()
