//! A display of the test's own: Xvfb, whose screen a test can look at and at whose keyboard it types.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AutoRepeatMode, ChangeKeyboardControlAux, ChangeWindowAttributesAux, ConnectionExt,
    CreateGCAux, EventMask, ImageFormat, InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, Rectangle,
    Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use super::camera::QUARTERS;
use super::process::PeerBuilder;

/// The symbol of the left Shift (X11's keysymdef.h, XK_Shift_L).
const SHIFT: u32 = 0xffe1;

/// Pixels of the only screen.
pub(crate) const SCREEN: (u16, u16) = (1280, 800);

/// A running display. It ends with the test.
pub(crate) struct Display {
    server: Child,
    name: String,
    connection: RustConnection,
}

impl Display {
    /// Starts one with an empty, black screen.
    pub(crate) fn start() -> Self {
        Self::with_number(None)
    }

    /// It dies, and another takes its place.
    pub(crate) fn restart(mut self) -> Self {
        self.kill();
        Self::with_number(Some(&self.name))
    }

    /// It dies.
    pub(crate) fn kill(&mut self) {
        // Fails where it has ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    fn with_number(name: Option<&str>) -> Self {
        let screen = format!("{}x{}x24", SCREEN.0, SCREEN.1);
        let mut server = Command::new("Xvfb")
            .args(name)
            .args(["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb; `make deps` installs it");
        let mut number = String::new();
        let said = server.stdout.take().expect("stdout is piped");
        // Written once it listens.
        BufReader::new(said).read_line(&mut number).expect("Xvfb says its number");
        let name = format!(":{}", number.trim());
        let (connection, _) = x11rb::connect(Some(&name)).expect("Xvfb answers");
        Self { server, name, connection }
    }

    /// Lets a `peer` use it.
    pub(crate) fn with(&self, peer: PeerBuilder) -> PeerBuilder {
        peer.env("DISPLAY", &self.name)
    }

    /// What `DISPLAY` is to be.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What windows ask a window manager for from now on, of which there is none here.
    pub(crate) fn wishes(&self) -> Wishes {
        let (connection, _) = x11rb::connect(Some(&self.name)).expect("Xvfb answers");
        let heard = ChangeWindowAttributesAux::new().event_mask(EventMask::SUBSTRUCTURE_NOTIFY);
        connection
            .change_window_attributes(self.root(), &heard)
            .expect("the display lives")
            .check()
            .expect("whoever likes may listen");
        let atom = |name: &[u8]| {
            let atom = connection.intern_atom(false, name).expect("the display lives");
            atom.reply().expect("a name").atom
        };
        let state = atom(b"_NET_WM_STATE");
        let full_screen = atom(b"_NET_WM_STATE_FULLSCREEN");
        Wishes { connection, state, full_screen }
    }

    /// The colour of a point of the screen now.
    pub(crate) fn colour(&self, (x, y): (i16, i16)) -> (u8, u8, u8) {
        let root = self.root();
        let image = self
            .connection
            .get_image(ImageFormat::Z_PIXMAP, root, x, y, 1, 1, u32::MAX)
            .expect("the display lives")
            .reply()
            .expect("a picture of the screen");
        (image.data[2], image.data[1], image.data[0])
    }

    /// Paints the whole screen in four quarters: clockwise from the upper left red, green, white, blue.
    pub(crate) fn paint_quarters(&self) {
        let root = self.root();
        let (width, height) = (SCREEN.0 / 2, SCREEN.1 / 2);
        for (at, (r, g, b)) in QUARTERS.into_iter().enumerate() {
            let colour = u32::from_be_bytes([0, r, g, b]);
            let pen = self.connection.generate_id().expect("the display lives");
            let (x, y) = (at as i16 % 2 * width as i16, at as i16 / 2 * height as i16);
            let area = Rectangle { x, y, width, height };
            self.connection
                .create_gc(pen, root, &CreateGCAux::new().foreground(colour))
                .and_then(|_| self.connection.poly_fill_rectangle(root, pen, &[area]))
                .expect("the display lives")
                .check()
                .expect("a quarter is painted");
        }
    }

    /// Presses and releases the key of this letter in the only window.
    pub(crate) fn press(&self, letter: char) {
        // A window manager would have done it.
        let windows = self.connection.query_tree(self.root()).expect("the display lives");
        let windows = windows.reply().expect("a list of windows").children;
        self.focus(*windows.last().expect("a window"));
        let (code, shifted) = self.code_of(letter);
        let held = shifted.then(|| self.code_of_symbol(SHIFT).0);
        held.iter().for_each(|shift| self.move_key(KEY_PRESS_EVENT, *shift));
        self.move_key(KEY_PRESS_EVENT, code);
        self.move_key(KEY_RELEASE_EVENT, code);
        held.iter().for_each(|shift| self.move_key(KEY_RELEASE_EVENT, *shift));
    }

    /// Presses the key of this letter outside of all windows. It stays down, and does not repeat.
    pub(crate) fn hold(&self, letter: char) {
        let never = ChangeKeyboardControlAux::new().auto_repeat_mode(AutoRepeatMode::OFF);
        self.connection
            .change_keyboard_control(&never)
            .expect("the display lives")
            .check()
            .expect("a keyboard");
        self.focus(self.root());
        self.move_key(KEY_PRESS_EVENT, self.code_of(letter).0);
    }

    pub(crate) fn release(&self, letter: char) {
        self.move_key(KEY_RELEASE_EVENT, self.code_of(letter).0);
    }

    fn root(&self) -> Window {
        self.connection.setup().roots[0].root
    }

    fn focus(&self, window: Window) {
        self.connection
            .set_input_focus(InputFocus::PARENT, window, x11rb::CURRENT_TIME)
            .expect("the display lives")
            .check()
            .expect("a window that can have the focus");
    }

    /// The key of a letter, and whether it takes Shift.
    fn code_of(&self, letter: char) -> (u8, bool) {
        self.code_of_symbol(letter as u32)
    }

    fn code_of_symbol(&self, symbol: u32) -> (u8, bool) {
        let setup = self.connection.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let map = self
            .connection
            .get_keyboard_mapping(first, last - first + 1)
            .expect("the display lives")
            .reply()
            .expect("a keyboard");
        let symbols = map.keysyms.chunks_exact(usize::from(map.keysyms_per_keycode));
        let found = symbols.into_iter().enumerate().find_map(|(at, symbols)| {
            let level = symbols.iter().take(2).position(|one| *one == symbol)?;
            Some((at, level == 1))
        });
        let (at, shifted) = found.expect("a key of this letter");
        (first + u8::try_from(at).expect("a key code"), shifted)
    }

    fn move_key(&self, event: u8, code: u8) {
        self.connection
            .xtest_fake_input(event, code, 0, self.root(), 0, 0, 0)
            .expect("the display lives")
            .check()
            .expect("a key is moved");
    }
}

/// A listener to what is asked of window managers (Extended Window Manager Hints, _NET_WM_STATE).
pub(crate) struct Wishes {
    connection: RustConnection,
    state: u32,
    full_screen: u32,
}

impl Wishes {
    /// Whether a window has asked for the whole screen since it was last looked.
    pub(crate) fn full_screen(&self) -> bool {
        while let Some(event) = self.connection.poll_for_event().expect("the display lives") {
            if let Event::ClientMessage(wish) = event
                && wish.type_ == self.state
                && wish.data.as_data32()[1..3].contains(&self.full_screen)
            {
                return true;
            }
        }
        false
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.kill();
    }
}
